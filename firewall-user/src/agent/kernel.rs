//! The data plane in the kernel, as the agent needs it.

use super::plane::Plane;
use super::state::{Opener, Settings};

/// Opens the data plane, reusing what is pinned.
#[must_use]
pub fn opener() -> Opener {
    Box::new(|_settings| anyhow::bail!("the data plane is not part of this build"))
}

/// The pinned tables, without loading anything; `None` where nothing is pinned.
pub fn from_pins(_settings: &Settings) -> anyhow::Result<Option<Box<dyn Plane>>> {
    Ok(None)
}
