use super::*;
use jiff::Timestamp;

fn record(name: &str, revision: u64, how: How) -> Record {
    let identity = Identity {
        name: name.to_owned(),
        revision,
        digest: format!("d{revision}"),
    };
    Record {
        id: 0,
        identity,
        outcome: Outcome::Applying,
        downgrade: false,
        how,
        by: Who::agent(),
        at: Timestamp::UNIX_EPOCH,
        before: None,
        source: "p.yaml".to_owned(),
        directory: false,
        files: vec![PathBuf::from("/x/p.yaml")],
        lists: BTreeMap::new(),
        detail: None,
        confirm_by: None,
        confirmed: None,
        context: String::new(),
        connected: Vec::new(),
    }
}

fn files(text: &str) -> StoredFiles {
    StoredFiles {
        policy: vec![(PathBuf::from("p.yaml"), text.as_bytes().to_vec())],
        ..StoredFiles::default()
    }
}

fn apply(history: &mut History, revision: u64) -> u64 {
    let id = history
        .begin(record("web", revision, How::Apply), &files("x"))
        .unwrap();
    history.in_force_now(id, Outcome::Replaced).unwrap();
    id
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    let first = apply(&mut history, 1);
    let second = apply(&mut history, 2);
    let history = History::open(dir.path()).unwrap();
    assert_eq!(history.in_force().unwrap().id, second);
    assert_eq!(history.record(first).unwrap().outcome, Outcome::Replaced);
    assert_eq!(history.highest("web").unwrap().revision, 2);
    let again =
        StoredFiles::read_policy(&history.directory_of(second), &[PathBuf::from("/x/p.yaml")])
            .unwrap();
    assert_eq!(again[0].1, b"x");
}

#[test]
fn a_rollback_rejects_what_it_leaves_and_keeps_the_highest() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    apply(&mut history, 1);
    apply(&mut history, 2);
    let back = history
        .begin(record("web", 1, How::Rollback), &files("x"))
        .unwrap();
    history.in_force_now(back, Outcome::RolledBack).unwrap();
    let left = record("web", 2, How::Apply).identity;
    assert!(history.known(&left).rejected);
    assert_eq!(history.highest("web").unwrap().revision, 2);
    let id = history
        .begin(record("web", 2, How::Apply), &files("x"))
        .unwrap();
    history.in_force_now(id, Outcome::Replaced).unwrap();
    assert!(!history.known(&left).rejected);
}

#[test]
fn what_waits_stands_beside_what_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    let first = apply(&mut history, 1);
    let begin = |history: &mut History, revision| {
        let record = record("web", revision, How::Apply);
        let id = history.begin(record, &files("x")).unwrap();
        history.pending_now(id).unwrap();
        id
    };
    let second = begin(&mut history, 2);
    let mut history = History::open(dir.path()).unwrap();
    let id = |record: Option<&Record>| record.map(|record| record.id);
    assert_eq!(id(history.in_force()), Some(first));
    assert_eq!(id(history.standing()), Some(second));
    assert_eq!(history.highest("web").unwrap().revision, 2);
    history.reverted(second, "late").unwrap();
    assert_eq!(
        (id(history.pending()), id(history.standing())),
        (None, Some(first))
    );
    let left = record("web", 2, How::Apply).identity;
    assert!(history.known(&left).rejected);

    let third = begin(&mut history, 3);
    history.confirmed(third, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(id(history.in_force()), Some(third));
    assert_eq!(history.record(first).unwrap().outcome, Outcome::Replaced);
}

#[test]
fn a_crash_on_either_side_of_the_swap_is_settled_by_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    let id = history
        .begin(record("web", 1, How::Apply), &files("x"))
        .unwrap();
    let waits = record("web", 1, How::Apply).identity;
    let say = TablesSay {
        in_force: None,
        waits: Some(&waits),
    };
    history.settle(say).unwrap();
    assert_eq!(history.pending().map(|record| record.id), Some(id));
}

#[test]
fn a_crash_on_either_side_of_the_swap_is_settled_by_the_tables() {
    for swapped in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut history = History::open(dir.path()).unwrap();
        apply(&mut history, 1);
        let open = history
            .begin(record("web", 2, How::Apply), &files("x"))
            .unwrap();
        let mut history = History::open(dir.path()).unwrap();
        let revision = if swapped { 2 } else { 1 };
        let held = record("web", revision, How::Apply).identity;
        let say = TablesSay {
            in_force: Some(&held),
            waits: None,
        };
        history.settle(say).unwrap();
        let now = history.in_force().unwrap();
        assert_eq!(now.identity.revision, if swapped { 2 } else { 1 });
        let expected = if swapped {
            Outcome::InForce
        } else {
            Outcome::Interrupted
        };
        assert_eq!(history.record(open).unwrap().outcome, expected);
    }
}

#[test]
fn old_records_and_their_files_go_but_never_the_one_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    let kept = apply(&mut history, 1);
    for revision in 2..200 {
        let refused = record("web", revision, How::Watch);
        history.refused(refused, "no").unwrap();
    }
    assert_eq!(history.records().len(), KEPT);
    assert_eq!(history.in_force().unwrap().id, kept);
    assert!(history.directory_of(kept).exists());
}

#[test]
fn the_same_refusal_is_noted_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    for _ in 0..3 {
        history
            .refused(record("web", 1, How::Watch), "lower")
            .unwrap();
    }
    assert_eq!(history.records().len(), 1);
}

#[test]
fn the_way_back_outlives_any_number_of_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    let first = apply(&mut history, 1);
    let mut next = record("web", 2, How::Apply);
    next.before = Some(first);
    let second = history.begin(next, &files("x")).unwrap();
    history.in_force_now(second, Outcome::Replaced).unwrap();
    for revision in 3..200 {
        let refused = record("web", revision, How::Watch);
        history.refused(refused, "no").unwrap();
    }
    assert_eq!(history.records().len(), KEPT);
    assert!(history.record(first).is_some() && history.record(second).is_some());
}
