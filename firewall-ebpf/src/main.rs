//! Where Ringwall's decision runs in the kernel. What is decided is in `firewall_common`; here are the
//! maps, the hooks, and every unsafe access to a packet or a map, behind the two doors
//! [`firewall_common::source::PacketSource`] and [`firewall_common::tables::Tables`].
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(unreachable_pub, reason = "the programs are entry points")]

mod atomics;
mod clock;
mod cookie;
mod emit;
mod event;
mod hook;
mod limits;
mod maps;
mod marks;
mod owner;
mod room;
mod route;
mod source;
mod tables;
mod watch;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lends some helpers only to programs that say they are compatible with its own licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";
