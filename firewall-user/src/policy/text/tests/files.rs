//! Policies in files and directories, and list files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{EXAMPLE, HEAD, host};
use crate::policy::{Checked, Refusal, read, read_sources, source};

const ADMIN: &str = "policies:\n- {name: admin, from: lan, to: host, rules: [{name: ssh, action: allow, services: [ssh], owner: o, reason: r}]}\n";

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn listed(list: &str) -> tempfile::TempDir {
    let policy = HEAD.replace("[198.51.100.0/24]", "{file: lists/office.txt}") + ADMIN;
    directory(&[("policy.yaml", &policy), ("lists/office.txt", list)])
}

fn read_in(directory: &tempfile::TempDir, name: &str) -> Result<Checked, Refusal> {
    read(&directory.path().join(name), &host())
}

fn error(result: Result<Checked, Refusal>) -> String {
    match result {
        Err(refusal) => refusal.to_string(),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn a_file() {
    let directory = directory(&[("web.yaml", EXAMPLE)]);
    let checked = read_in(&directory, "web.yaml").unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(checked.sources[0].1, EXAMPLE.as_bytes());
    assert!(checked.sources[0].0.is_absolute());
    assert!(!checked.directory);
}

#[test]
fn a_directory_is_one_policy_in_byte_order() {
    let directory = directory(&[
        (
            "b.yaml",
            "policies: [{name: second, from: office-lan, to: host, default: deny}]\n",
        ),
        (
            "a.yaml",
            &format!(
                "{HEAD}policies: [{{name: first, from: office-lan, to: host, default: deny}}]\n"
            ),
        ),
        ("z.yaml", "zones: {office-lan: {cidrs: [office]}}\n"),
        (".hidden.yaml", "not: [read"),
        ("notes.txt", "not read"),
    ]);
    let checked = read(directory.path(), &host()).unwrap_or_else(|refusal| panic!("{refusal}"));
    let names: Vec<&str> = checked
        .policy
        .blocks
        .iter()
        .map(|block| block.name.as_str())
        .collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(checked.policy.blocks[1].span.file, 1);
    assert_eq!(checked.policy.files.len(), 3);
    let again = read_sources(checked.sources.clone(), checked.directory, &host()).unwrap();
    assert_eq!(again.policy.digest, checked.policy.digest);
    fs::rename(
        directory.path().join("z.yaml"),
        directory.path().join("c.yaml"),
    )
    .unwrap();
    let renamed = read(directory.path(), &host()).unwrap();
    assert_ne!(
        renamed.policy.digest, checked.policy.digest,
        "names in a directory count"
    );
}

#[test]
fn a_directory_has_one_head_and_unique_names() {
    let directory = directory(&[
        ("a.yaml", HEAD),
        (
            "b.yaml",
            "mode: monitor\nsets: {office: [192.0.2.1]}\nzones: {lan: {cidrs: [10.1.0.0/16]}, other: {default: true}}\n",
        ),
        ("c.yaml", "metadata: {name: u, revision: 2}\n"),
    ]);
    let text = error(read(directory.path(), &host()));
    for part in [
        "b.yaml:1:1",
        "`mode` stands in the one file",
        "b.yaml:2:8",
        "a set `office` already",
        "a zone `lan` already",
        "exactly one zone",
        "c.yaml:1:1",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(error(read(empty.path(), &host())).contains("no *.yaml file"));
}

#[test]
fn what_only_looks_like_a_policy_file_is_left_out_with_a_warning() {
    let directory = directory(&[
        ("a.yaml", HEAD),
        ("b.yml", "policies: []\n"),
        ("c.YAML", "policies: []\n"),
        ("list.txt", "192.0.2.1\n"),
    ]);
    let checked = read(directory.path(), &host()).unwrap_or_else(|refusal| panic!("{refusal}"));
    let told = checked.warnings.iter().filter(|w| w.code == "not-read");
    let told: Vec<&str> = told.map(|w| w.message.as_str()).collect();
    let wanted = ["b.yml", "c.YAML"].map(|name| format!("`{name}` in this directory is not read"));
    assert_eq!(told, wanted);
}

#[test]
fn what_is_no_regular_file() {
    let directory = directory(&[("sub.yaml/x", "")]);
    let text = error(read(Path::new("/dev/null"), &host()));
    assert!(
        text.contains("not a regular file") && text.contains("standard input"),
        "{text}"
    );
    assert!(error(read(directory.path(), &host())).contains("not a regular file"));
    assert!(error(read_in(&directory, "absent.yaml")).contains("No such file"));
}

#[test]
fn a_file_that_is_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("big.yaml");
    fs::File::create(&path)
        .unwrap()
        .set_len(source::MAX_BYTES + 1)
        .unwrap();
    assert!(error(read(&path, &host())).contains("larger than 64 MiB"));
}

#[test]
fn a_list_file() {
    let directory =
        listed("# office\n10.1.0.0/16\n\n 2001:db8::/32 # v6\r\n10.1.0.0/16\n192.0.2.7\n");
    let checked = read_in(&directory, "policy.yaml").unwrap_or_else(|refusal| panic!("{refusal}"));
    let set = &checked.policy.sets[0];
    assert_eq!(set.members.len(), 3, "doubles are one");
    assert_eq!(
        set.file.as_deref(),
        Some(&*directory.path().join("lists/office.txt"))
    );
    assert_eq!(checked.policy.watched_files().len(), 2);
    assert_eq!(checked.warnings, []);
    assert_eq!(
        checked.sources.len(),
        1,
        "list files are no part of the revision"
    );
}

#[test]
fn host_bits_in_a_list_are_masked_with_a_warning() {
    let checked = read_in(&listed("10.1.2.3/16\n10.2.2.2/16\n"), "policy.yaml").unwrap();
    assert_eq!(checked.policy.sets[0].members[0].to_string(), "10.1.0.0/16");
    assert_eq!(checked.warnings.len(), 1);
    assert!(
        checked.warnings[0]
            .message
            .contains("2 entries have host bits")
    );
    assert_eq!(checked.warnings[0].line, Some(1));
}

#[test]
fn an_empty_list_matches_nothing_with_a_warning() {
    let checked = read_in(&listed("# nobody\n"), "policy.yaml").unwrap();
    assert!(checked.policy.sets[0].members.is_empty());
    assert_eq!(checked.warnings[0].code, "empty-list-file");
}

#[test]
fn a_bad_line_refuses_the_whole_list() {
    let text = error(read_in(
        &listed("10.0.0.0/8\n  10.0.0.0/33\nexample.org\n"),
        "policy.yaml",
    ));
    for part in [
        "office.txt:2:3",
        "0 to 32",
        "office.txt:3:1",
        "host names are not looked up",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let many = "x.y\n".repeat(100);
    assert!(error(read_in(&listed(&many), "policy.yaml")).contains("80 more bad lines"));
}

#[test]
fn a_list_of_a_million_lines_and_one_more() {
    let line = |n: u32| format!("{}\n", std::net::Ipv4Addr::from(n * 2));
    let mut text: String = (0..1_000_000).map(line).collect();
    let checked = read_in(&listed(&text), "policy.yaml").unwrap();
    assert_eq!(checked.policy.sets[0].members.len(), 1_000_000);
    text.push_str("10.0.0.0/8\n");
    assert!(error(read_in(&listed(&text), "policy.yaml")).contains("more than 1000000 lines"));
}

#[test]
fn a_list_stays_in_its_directory() {
    let outside = directory(&[("secret.txt", "10.0.0.0/8\n")]);
    let inside = listed("10.0.0.0/8\n");
    let list = inside.path().join("lists/office.txt");
    fs::remove_file(&list).unwrap();
    symlink(outside.path().join("secret.txt"), &list).unwrap();
    assert!(error(read_in(&inside, "policy.yaml")).contains("leads out of the directory"));
    fs::remove_file(&list).unwrap();
    fs::write(inside.path().join("real.txt"), "10.0.0.0/8\n").unwrap();
    symlink("../real.txt", &list).unwrap();
    assert!(
        read_in(&inside, "policy.yaml").is_ok(),
        "a link that stays inside is fine"
    );
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    assert!(error(read_in(&inside, "policy.yaml")).contains("not a regular file"));
}

#[test]
fn trust_needs_a_whole_way_that_nobody_else_can_change() {
    let uid = fs::metadata(tempfile::tempdir().unwrap().path())
        .map(|meta| std::os::unix::fs::MetadataExt::uid(&meta))
        .unwrap();
    let directory = directory(&[("d/policy.yaml", "x"), ("d/more.yaml", "y")]);
    let file = directory.path().join("d/policy.yaml");
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let trusted = |path: &Path| source::trusted_by(path, uid).map_err(|error| error.to_string());
    let parent = directory.path().join("d");
    mode(&parent, 0o755);
    mode(&file, 0o644);
    mode(&parent.join("more.yaml"), 0o644);
    trusted(&file).unwrap();
    trusted(&parent).unwrap();
    mode(&parent.join("more.yaml"), 0o666);
    trusted(&file).unwrap();
    assert!(
        trusted(&parent).unwrap_err().contains("its mode is 0666"),
        "a directory's files count"
    );
    mode(&file, 0o664);
    assert!(trusted(&file).unwrap_err().contains("its mode is 0664"));
    mode(&file, 0o644);
    mode(&parent, 0o777);
    assert!(trusted(&file).unwrap_err().contains("its mode is 0777"));
    mode(&parent, 0o1777);
    trusted(&file).unwrap();
    let link = directory.path().join("link.yaml");
    symlink("d/policy.yaml", &link).unwrap();
    trusted(&link).unwrap();
    mode(&file, 0o666);
    assert!(
        trusted(&link).unwrap_err().contains("d/policy.yaml"),
        "the target counts"
    );
    let circle = directory.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert!(
        trusted(&circle)
            .unwrap_err()
            .contains("too many symbolic links")
    );
    assert!(source::trusted_by(&file, uid + 1).is_err());
}
