//! Live sessions that a policy about to come would not allow.

use super::state::Agent;
use crate::policy::compiled::Compiled;

impl Agent {
    /// How many live sessions a policy does not allow.
    pub(super) fn sessions_cut(&mut self, _compiled: &Compiled) -> u64 {
        0
    }
}
