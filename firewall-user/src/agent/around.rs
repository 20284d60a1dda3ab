//! This host as detectors ask it, for the time of one look.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use firewall_common::flow::Tuple;

use super::net::{self, LocalKind, Ways};
use super::state::Agent;
use crate::detect::{Around, Listeners, Route, Standing};
use crate::sessions::address;

/// What was asked already.
pub(super) struct Here {
    names: BTreeMap<u32, String>,
    guarded: BTreeSet<u32>,
    beside: Vec<String>,
    locals: BTreeSet<IpAddr>,
    sees_drops: bool,
    listeners: Option<Listeners>,
    ways: Option<Ways>,
    routes: HashMap<(IpAddr, IpAddr), Route>,
}

impl Agent {
    /// This host as it is now.
    pub(super) fn here(&self) -> Here {
        let guarded = self.interfaces.iter();
        let guarded = guarded.filter(|line| line.state == "guarded");
        let guarded: BTreeSet<u32> = guarded.map(|line| line.index).collect();
        let links = self.links.iter();
        let beside =
            links.filter(|link| link.up && !link.loopback && !guarded.contains(&link.index));
        let own = self.locals().iter();
        let own = own.filter(|local| {
            local.kind == LocalKind::Unicast && local.net.prefix_len() == local.net.max_prefix_len()
        });
        Here {
            names: self
                .links
                .iter()
                .map(|link| (link.index, link.name.clone()))
                .collect(),
            beside: beside.map(|link| link.name.clone()).collect(),
            guarded,
            locals: own.map(|local| local.net.addr()).collect(),
            sees_drops: self.eyes.hub.blind().is_none(),
            listeners: None,
            ways: None,
            routes: HashMap::new(),
        }
    }
}

/// As the kernel lists them now; of what it does not list nothing is known.
fn listeners() -> Listeners {
    let all = net::listening();
    all.map_or_else(
        |_| Listeners::default(),
        |all| Listeners::of(all.into_iter().map(|(listener, _)| listener).collect()),
    )
}

impl Around for Here {
    fn listeners(&mut self) -> &Listeners {
        self.listeners.get_or_insert_with(listeners)
    }

    fn route(&mut self, local: IpAddr, far: IpAddr) -> Route {
        if let Some(known) = self.routes.get(&(local, far)) {
            return *known;
        }
        if self.ways.is_none() {
            self.ways = Ways::new().ok();
        }
        let Some(ways) = &mut self.ways else {
            return Route::Unknown;
        };
        let local_if_any = Some(local).filter(|local| !local.is_unspecified());
        let route = match ways.path(local_if_any, far) {
            Ok(path) => Route::By(path.interface),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EINVAL | libc::EACCES) => {
                    Route::Missing
                }
                _ => Route::Unknown,
            },
        };
        self.routes.insert((local, far), route);
        route
    }

    fn is_dead_end(&mut self, local: IpAddr, far: IpAddr) -> bool {
        let Ok(mut ways) = Ways::new() else {
            return false;
        };
        let path = ways.path(Some(local), far);
        path.is_ok_and(|path| ways.is_dead(path.interface, path.gateway.unwrap_or(far)))
    }

    fn socket(&mut self, tuple: &Tuple) -> Option<Standing> {
        let local = SocketAddr::new(address(tuple.source), tuple.source_port);
        let far = SocketAddr::new(address(tuple.destination), tuple.destination_port);
        Some(match net::connection(local, far)?.standing {
            net::Standing::SynSent => Standing::SynSent,
            net::Standing::SynReceived => Standing::SynReceived,
            net::Standing::Listens => return None,
            _ => Standing::Connected,
        })
    }

    fn name(&self, interface: u32) -> String {
        let known = self.names.get(&interface).cloned();
        known.unwrap_or_else(|| format!("interface {interface}"))
    }

    fn guards(&self, interface: u32) -> bool {
        self.guarded.contains(&interface)
    }

    fn beside(&self) -> Vec<String> {
        self.beside.clone()
    }

    fn is_local(&self, address: IpAddr) -> bool {
        self.locals.contains(&address)
    }

    fn sees_drops(&self) -> bool {
        self.sees_drops
    }
}
