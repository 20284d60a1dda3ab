//! Which build this is.

/// The commit that was built; `development` in a build that is not optimised (it is not made anew for every
/// commit), `unknown` without a repository.
pub const REVISION: &str = match option_env!("RINGWALL_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Version and commit, for people.
pub const VERSION: &str = match option_env!("RINGWALL_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
