//! How each hook reads its packet.

mod near;
pub(crate) mod tc;
pub(crate) mod xdp;

use core::ffi::c_void;

use firewall_common::source::PacketSource;

/// What the rest of the programs needs of a hook's packet: its bytes, and what the kernel knows of it.
pub(crate) trait Context: PacketSource + Copy {
    /// What the kernel's helpers ask for as `ctx`.
    fn raw(self) -> *mut c_void;

    /// The interface of the hook.
    fn interface(self) -> u32;

    /// The interface it arrived by; 0: from this host.
    fn came_by(self) -> u32;
}
