//! Reasons in Hubble's words (`DropReason` of flow.proto), where there is a near one.

use firewall_common::reason::Reason;

/// The nearest name; `None` where none is near.
pub(super) const fn name(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::RuleDeny | Reason::RuleReject => "POLICY_DENY",
        Reason::DefaultDeny | Reason::DefaultReject | Reason::NoPolicy => "POLICY_DENIED",
        Reason::Revoked | Reason::RuleExpired => "POLICY_DENIED",
        Reason::RateLimited => "DROP_RATE_LIMITED",
        Reason::Malformed => "INVALID_PACKET_DROPPED",
        Reason::Truncated => "CT_TRUNCATED_OR_INVALID_HEADER",
        Reason::SpoofedSource | Reason::Martian => "INVALID_SOURCE_IP",
        Reason::UnsupportedEthertype => "UNSUPPORTED_L2_PROTOCOL",
        Reason::Ipv6RoutingHeader => "INVALID_IPV6_EXTENSION_HEADER",
        Reason::SessionTableFull | Reason::HalfOpenLimit => "CT_MAP_INSERTION_FAILED",
        Reason::FragmentWithoutFirst => "FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND",
        Reason::NdInvalid => "FORBIDDEN_ICMPV6_MESSAGE",
        Reason::NoSession => "UNKNOWN_CONNECTION_TRACKING_STATE",
        _ => return None,
    })
}
