//! Changes of links, addresses and local routes, gathered so that a burst is one change.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::RouteMessage;
use tokio::sync::mpsc;

/// What may have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Interfaces came, went or changed.
    pub links: bool,
    /// Addresses, local routes or networks on links did.
    pub locals: bool,
    /// Routes to others did.
    pub routes: bool,
    /// An interface went; another may have come in its place.
    pub gone: bool,
    /// When the first of these changes was told.
    pub at: Option<Instant>,
}

impl Changed {
    const fn any(self) -> bool {
        self.links || self.locals || self.routes
    }

    fn add(&mut self, other: Self) {
        self.links |= other.links;
        self.locals |= other.locals;
        self.routes |= other.routes;
        self.gone |= other.gone;
        self.at = self.at.or(other.at);
    }
}

/// The first change is told at once, since a new interface is not guarded until then; those that follow in a
/// burst are told together, this much later.
const GATHER: Duration = Duration::from_millis(20);

/// Tells every change, from now on. The kernel's queue may overflow in a storm; then everything may have
/// changed, and so it is told.
pub fn watch() -> anyhow::Result<mpsc::Receiver<Changed>> {
    let (connection, _handle, mut messages) = rtnetlink::new_multicast_connection(&[
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ])
    .context("cannot subscribe to changes of interfaces and addresses")?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(connection);
    tokio::spawn(async move {
        // The handle keeps the connection open for as long as somebody listens.
        let _handle = _handle;
        while let Some((message, _)) = messages.next().await {
            let first = what(&message);
            if !first.any() {
                continue;
            }
            if sender.send(first).await.is_err() {
                return;
            }
            let mut changed = Changed::default();
            let until = tokio::time::Instant::now() + GATHER;
            while let Ok(Some((message, _))) = tokio::time::timeout_at(until, messages.next()).await
            {
                changed.add(what(&message));
            }
            if changed.any() && sender.send(changed).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn what(message: &NetlinkMessage<RouteNetlinkMessage>) -> Changed {
    use RouteNetlinkMessage as M;
    let gone = matches!(
        &message.payload,
        NetlinkPayload::InnerMessage(M::DelLink(_))
            | NetlinkPayload::Overrun(_)
            | NetlinkPayload::Error(_)
    );
    let (links, locals, routes) = match &message.payload {
        NetlinkPayload::InnerMessage(inner) => match inner {
            M::NewLink(_) | M::DelLink(_) => (true, false, false),
            M::NewAddress(_) | M::DelAddress(_) => (false, true, false),
            M::NewRoute(route) | M::DelRoute(route) => (
                false,
                says_what_is_near(route),
                super::routes::is_onward(route),
            ),
            _ => (false, false, false),
        },
        NetlinkPayload::Overrun(_) | NetlinkPayload::Error(_) => (true, true, true),
        _ => (false, false, false),
    };
    let at = (links || locals || routes).then(Instant::now);
    Changed {
        links,
        locals,
        routes,
        gone,
        at,
    }
}

/// Routes by the thousand come from a routing daemon, and say nothing of what is on our links.
fn says_what_is_near(route: &RouteMessage) -> bool {
    super::locals::is_local(route) || super::connected::is_on_link(route)
}
