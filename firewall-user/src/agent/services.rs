//! Service names and what they mean, as listings show them.

use crate::api::types::ServiceRow;
use crate::policy::model::{Policy, Service};
use crate::policy::services::protocol_word;

/// A service name as listings show it.
#[must_use]
pub fn service_row(name: &str, parts: &[Service], built_in: bool) -> ServiceRow {
    ServiceRow {
        name: name.to_owned(),
        services: parts.iter().map(service_word).collect(),
        built_in,
    }
}

/// The services that a policy defines.
#[must_use]
pub fn own_services(policy: &Policy) -> Vec<ServiceRow> {
    let own = policy.services.iter();
    own.map(|service| service_row(&service.name, &service.parts, false))
        .collect()
}

/// A service as the language writes it.
#[must_use]
pub fn service_word(service: &Service) -> String {
    let dotted = |value: Option<u8>| value.map_or_else(String::new, |v| format!("/{v}"));
    match service {
        Service::Ports {
            protocol,
            low,
            high,
        } if low == high => format!("{}/{low}", protocol_word(*protocol)),
        Service::Ports {
            protocol,
            low,
            high,
        } => format!("{}/{low}-{high}", protocol_word(*protocol)),
        Service::Icmp { v6, kind, code } => {
            let word = if *v6 { "icmpv6" } else { "icmp" };
            format!("{word}{}{}", dotted(*kind), dotted(*code))
        }
        Service::Protocol(number) => protocol_word(*number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{HEAD, policy};

    #[test]
    fn a_policys_own_services_are_listed_with_what_they_mean() {
        let policy = policy(&format!(
            "{HEAD}services: {{web: [tcp/80, tcp/443], all: [web, gre]}}\npolicies: []\n"
        ));
        let rows = own_services(&policy);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].name, "web");
        assert_eq!(rows[0].services, ["tcp/80", "tcp/443"]);
        assert_eq!(rows[1].services, ["tcp/80", "tcp/443", "gre"]);
        assert!(rows.iter().all(|row| !row.built_in));
    }
}
