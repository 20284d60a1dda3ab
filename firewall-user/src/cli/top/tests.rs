use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::gather::Taken;
use super::keys::Act;
use super::panes::Top;
use super::view;
use crate::api::types::{Problem, RuleRow, Status};
use crate::sessions::{Row, Traffic, Zones};

fn session(peer: &str, port: u16, bytes: u64) -> Row {
    Row {
        protocol: "tcp".to_owned(),
        source: peer.parse().unwrap(),
        source_port: Some(port),
        destination: "203.0.113.1".parse().unwrap(),
        destination_port: Some(443),
        direction: "inbound".to_owned(),
        state: "established".to_owned(),
        rule: None,
        translated: false,
        zone: Zones {
            source: "internet".to_owned(),
            destination: "host".to_owned(),
        },
        packets: Traffic::default(),
        bytes: Traffic {
            sent: bytes,
            received: bytes * 2,
        },
        age_s: 1,
        idle_s: 0,
        interface: None,
        process: None,
    }
}

fn rule(id: &str, action: &str, packets: u64) -> RuleRow {
    RuleRow {
        id: id.to_owned(),
        action: action.to_owned(),
        packets: Some(packets),
        ..RuleRow::default()
    }
}

fn look(at: Instant, sessions: Vec<Row>, rules: Vec<RuleRow>) -> Taken {
    Taken {
        at,
        status: Status {
            mode: "enforce".to_owned(),
            ..Status::default()
        },
        sessions,
        rules,
        one_sided: Vec::new(),
    }
}

/// Two looks, two seconds apart.
fn two() -> Top {
    let (mut top, begin) = (Top::default(), Instant::now());
    let first = vec![
        session("203.0.113.9", 1, 100),
        session("203.0.113.10", 1, 5000),
    ];
    let rules = |n| {
        vec![
            rule("in/a", "deny", n),
            rule("in/b", "reject", 7),
            rule("in/c", "allow", n),
        ]
    };
    top.take(look(begin, first, rules(10)));
    // One peer goes on and has a second session, the other one's has ended.
    let second = vec![
        session("203.0.113.9", 1, 300),
        session("203.0.113.9", 2, 40),
    ];
    top.take(look(begin + Duration::from_secs(2), second, rules(30)));
    top
}

#[test]
fn rates_are_what_came_since_the_last_look() {
    let shown = two().json();
    assert_eq!(
        shown["talkers"],
        json!([{"peer": "203.0.113.9", "zone": "internet", "sessions": 2,
                "from_per_second": 120, "to_per_second": 240}])
    );
    let rules = shown["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 2, "an allow drops nothing");
    assert_eq!(rules[0]["rule"], "in/a");
    assert_eq!(rules[0]["drops_per_second"], 10.0);
    assert_eq!(rules[0]["drops"], 30.0);
    assert_eq!(rules[0]["course"], "▁█");
    assert_eq!(rules[1]["course"], "▁▁");
}

fn press(top: &mut Top, code: KeyCode) -> Act {
    top.key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// The screen as text.
fn screen(top: &mut Top, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, top, true)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn all_four_lists_are_on_the_smallest_usual_screen() {
    let text = screen(&mut two(), 80, 24);
    for word in [
        "talkers",
        "rules by drops",
        "sessions",
        "one-sided",
        "203.0.113.9",
        "in/a",
        "▁█",
        "established",
        "DROPS/s",
        "enforce",
        "q end",
    ] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    assert!(screen(&mut two(), 30, 8).contains("needs 60 columns"));
}

#[test]
fn keys_sort_filter_and_turn_round() {
    let mut top = two();
    let first = |top: &Top| top.panes[1].seen("")[0][0].text.clone();
    press(&mut top, KeyCode::Char('2'));
    assert_eq!(first(&top), "in/a");
    press(&mut top, KeyCode::Char('r'));
    assert_eq!(first(&top), "in/b");
    // By the next column, and then by the others, until it is the first.
    for _ in 0..3 {
        press(&mut top, KeyCode::Char('s'));
    }
    assert_eq!((top.panes[1].sort, first(&top).as_str()), (0, "in/a"));
    for key in ['/', 'I', 'N', '/', 'b'] {
        press(&mut top, KeyCode::Char(key));
    }
    assert_eq!(top.filter, "IN/b");
    let text = screen(&mut top, 80, 24);
    assert!(text.contains("in/b") && !text.contains("in/a"), "{text}");
    press(&mut top, KeyCode::Enter);
    assert!(!top.typing);
    // A key that would have ended it while it was typed does so now.
    assert_eq!(press(&mut top, KeyCode::Char('q')), Act::End);
    press(&mut top, KeyCode::Esc);
    assert_eq!(top.filter, "");
}

#[test]
fn a_pause_holds_the_picture_and_troubles_are_told() {
    let mut top = two();
    press(&mut top, KeyCode::Char('p'));
    top.news(Ok(look(Instant::now(), Vec::new(), Vec::new())));
    assert_eq!(top.panes[0].seen("").len(), 1);
    assert!(screen(&mut top, 100, 30).contains("PAUSED"));
    press(&mut top, KeyCode::Char(' '));
    top.news(Err(Problem::new(3, "the agent is not running")));
    assert_eq!(top.panes[0].seen("").len(), 1);
    assert!(screen(&mut top, 100, 30).contains("the agent is not running"));
    top.news(Ok(look(Instant::now(), Vec::new(), Vec::new())));
    assert_eq!(top.panes[0].seen("").len(), 0);
    assert!(!screen(&mut top, 100, 30).contains("not running"));
}

#[test]
fn names_from_outside_do_not_steer_the_terminal() {
    let mut top = Top::default();
    let evil = rule("in/\u{1b}[2Jx\r\ny\u{9b}31m", "deny", 1);
    top.take(look(Instant::now(), Vec::new(), vec![evil]));
    let text = screen(&mut top, 80, 24);
    assert!(text.contains("in/\u{fffd}[2Jx"), "{text}");
    assert!(!text.contains(['\u{1b}', '\r', '\u{9b}']));
}

#[test]
fn one_list_alone_scrolls_within_its_lines() {
    let rules: Vec<RuleRow> = (0..50)
        .map(|n| rule(&format!("in/r{n:02}"), "deny", 0))
        .collect();
    let mut top = Top::default();
    top.take(look(Instant::now(), Vec::new(), rules));
    press(&mut top, KeyCode::BackTab);
    press(&mut top, KeyCode::Char('2'));
    press(&mut top, KeyCode::Enter);
    let text = screen(&mut top, 80, 24);
    assert!(
        text.contains("in/r15") && !text.contains("talkers"),
        "{text}"
    );
    for _ in 0..9 {
        press(&mut top, KeyCode::PageDown);
    }
    assert_eq!(top.panes[1].offset, 49);
    assert!(screen(&mut top, 80, 24).contains("in/r49"));
    press(&mut top, KeyCode::Home);
    assert_eq!(top.panes[1].offset, 0);
    press(&mut top, KeyCode::Char('?'));
    assert!(screen(&mut top, 80, 24).contains("any key goes on"));
    press(&mut top, KeyCode::Char('q'));
    assert!(!top.help);
}
