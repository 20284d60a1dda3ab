//! Real traffic between namespaces through attached programs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use firewall_user::dataplane::{Dataplane, Options, Place, features};

use crate::lab::{HERE4, HERE6, INTERFACE, Lab, PEER4, PEER6, index};

const SOON: Duration = Duration::from_millis(400);
/// For what must come.
const PATIENCE: Duration = Duration::from_secs(10);

fn to(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

fn connect(address: &str, port: u16) -> Result<TcpStream, ErrorKind> {
    TcpStream::connect_timeout(&to(address, port), SOON).map_err(|error| error.kind())
}

/// Answers each line with the same.
fn echo(address: &str, port: u16) {
    let listener = TcpListener::bind(to(address, port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut bytes = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..count]).unwrap();
                }
            });
        }
    });
}

fn says(stream: &mut TcpStream, text: &str) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 64];
    stream.write_all(text.as_bytes()).is_ok()
        && matches!(stream.read(&mut bytes), Ok(n) if &bytes[..n] == text.as_bytes())
}

/// What the policy says, seen from the peer's sockets and from here.
fn judged(lab: &Lab) {
    for (here, peer) in [(HERE4, PEER4), (HERE6, PEER6)] {
        lab.at_peer(|| {
            assert!(says(&mut connect(here, 443).unwrap(), "hello"), "{here}");
            assert_eq!(connect(here, 80).unwrap_err(), ErrorKind::TimedOut);
            assert_eq!(connect(here, 22).unwrap_err(), ErrorKind::ConnectionRefused);
            unreachable_by_icmp(here, peer);
        });
        assert_eq!(connect(peer, 25).unwrap_err(), ErrorKind::ConnectionRefused);
        assert!(says(&mut connect(peer, 9000).unwrap(), "out"));
    }
}

fn unreachable_by_icmp(here: &str, peer: &str) {
    let socket = UdpSocket::bind(to(peer, 0)).unwrap();
    socket.connect(to(here, 53)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(b"who is there?").unwrap();
    let error = socket.recv(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

fn listen(lab: &Lab) {
    for (here, peer) in [(HERE4, PEER4), (HERE6, PEER6)] {
        echo(here, 443);
        echo(here, 80);
        lab.at_peer(|| echo(peer, 9000));
    }
}

fn guards(options: impl FnOnce(Options) -> Options, place: Place) {
    let Some(lab) = Lab::new() else { return };
    listen(&lab);
    let options = options(lab.options());
    let mut plane = lab.open_with(&options);
    lab.apply(&mut plane);
    let attached = plane.attach(INTERFACE).unwrap();
    assert_eq!((attached.index, attached.hook), (index(), place));
    judged(&lab);

    // A restart: what is enforced outlives the agent, and live connections do not notice the next one.
    let mut live = lab.at_peer(|| connect(HERE4, 443).unwrap());
    assert!(says(&mut live, "before"));
    drop(plane);
    assert!(says(&mut live, "between"));
    assert_eq!(
        lab.at_peer(|| connect(HERE4, 80)).unwrap_err(),
        ErrorKind::TimedOut
    );
    let mut plane = lab.open_with(&options);
    assert_eq!(plane.attached().unwrap(), std::slice::from_ref(&attached));
    assert_eq!(plane.attach(INTERFACE).unwrap(), attached);
    assert!(says(&mut live, "after"));
    judged(&lab);

    plane.detach_all().unwrap();
    assert!(lab.at_peer(|| connect(HERE6, 80)).is_ok());
    let left = std::fs::read_dir(lab.pins()).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(left.count(), 0);
}

#[test]
fn tcx_guards_an_interface_across_restarts() {
    if !features::check().unwrap().tcx {
        println!("SKIP: TCX needs Linux 6.6");
        return;
    }
    guards(|options| options, Place::Tcx);
}

#[test]
fn clsact_guards_an_interface_across_restarts() {
    let clsact = |options| Options {
        clsact: true,
        ..options
    };
    guards(clsact, Place::Clsact);
}

#[test]
fn a_vanished_interface_is_put_away_and_its_successor_guarded() {
    let Some(lab) = Lab::new() else { return };
    let mut plane = lab.open();
    plane.attach(INTERFACE).unwrap();
    lab.replace_interface();
    // A qdisc leaves nothing behind that could tell.
    if features::check().unwrap().tcx {
        assert!(plane.attached().unwrap().is_empty());
    }
    let attached = plane.attach(INTERFACE).unwrap();
    assert_eq!(attached.index, index());
    drop(plane);
    // The same index again, so that the severed link has the name of the new one's pin.
    lab.replace_interface();
    let mut plane: Dataplane = lab.open();
    assert!(plane.attached().unwrap().len() <= 1);
    let attached = plane.attach(INTERFACE).unwrap();
    assert_eq!(plane.attached().unwrap(), std::slice::from_ref(&attached));
    plane.detach(attached.index).unwrap();
    assert!(plane.attached().unwrap().is_empty());
}

#[test]
fn an_agent_that_died_between_egress_and_ingress_is_followed_where_it_stood() {
    let Some(lab) = Lab::new() else { return };
    let mut plane = lab.open();
    plane.attach(INTERFACE).unwrap();
    drop(plane);
    let pins = links(&lab);
    let ingress = pins
        .iter()
        .filter(|pin| pin.to_string_lossy().ends_with("-ingress"));
    ingress.for_each(|pin| std::fs::remove_file(pin).unwrap());
    let plane = lab.open();
    let [found] = &plane.attached().unwrap()[..] else {
        panic!("one interface is guarded");
    };
    assert_eq!(found.hook, Place::Tcx);
    assert_eq!(links(&lab).len(), 2);
}

fn links(lab: &Lab) -> Vec<std::path::PathBuf> {
    let entries =
        |path: std::path::PathBuf| std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path());
    let namespaces = entries(lab.pins()).filter(|path| path.is_dir());
    let layouts = namespaces.flat_map(entries).filter(|path| path.is_dir());
    layouts
        .flat_map(|layout| entries(layout.join("links")).collect::<Vec<_>>())
        .collect()
}

#[test]
fn filters_that_somebody_removed_are_missed_and_come_back() {
    let Some(lab) = Lab::new() else { return };
    let mut plane = lab.open_with(&Options {
        clsact: true,
        ..lab.options()
    });
    lab.apply(&mut plane);
    listen(&lab);
    plane.attach(INTERFACE).unwrap();
    for lost in [
        "filter del dev rw0 ingress",
        "filter del dev rw0 egress",
        "qdisc del dev rw0 clsact",
    ] {
        assert!(plane.displaced(&[index()]).is_empty());
        let tc = std::process::Command::new("tc")
            .args(lost.split(' '))
            .status();
        assert!(tc.unwrap().success(), "tc {lost}");
        assert_eq!(plane.displaced(&[index()]), [index()], "tc {lost}");
        plane.attach(INTERFACE).unwrap();
        judged(&lab);
    }
    // An interface that is gone has not lost them to anybody.
    lab.replace_interface();
    assert!(plane.displaced(&[9999]).is_empty());
}
