//! The policy of these tests: in tcp/443 (allowed), tcp/22 and udp/53 (rejected), else denied; out tcp/25
//! rejected, else allowed.

use firewall_common::config::FIRST_RULE_COUNTER;
use firewall_common::zone::ZoneId;
use firewall_user::policy::compile::compile;
use firewall_user::policy::compiled::{Clock, Compiled, Numbers};
use firewall_user::policy::{HostContext, read_bytes};

pub(crate) const ALLOW: u32 = FIRST_RULE_COUNTER;
pub(crate) const REJECT: u32 = FIRST_RULE_COUNTER + 1;
pub(crate) const DENY: u32 = FIRST_RULE_COUNTER + 2;
pub(crate) const PEOPLE: ZoneId = ZoneId(3);

const TEXT: &str = "
apiVersion: ringwall/v1
metadata: {name: test, revision: 7}
unmatched: {inbound: deny, outbound: deny, routed: pass}
zones: {people: {default: true}}
policies:
  - name: in
    from: people
    to: host
    rules:
      - {name: web, action: allow, services: [tcp/443]}
      - {name: no, action: reject, services: [tcp/22, udp/53]}
    default: deny
  - name: out
    from: host
    to: people
    rules:
      - {name: smtp, action: reject, services: [tcp/25]}
    default: allow
";

pub(crate) fn compiled() -> Compiled {
    let host = HostContext::default();
    let checked = read_bytes("test.yaml", TEXT.as_bytes().to_vec(), &host).unwrap();
    let clock = Clock {
        boot: 1,
        wall: "2027-01-01T00:00:00Z".parse().unwrap(),
    };
    compile(&checked.policy, &mut Numbers::default(), &clock).unwrap()
}
