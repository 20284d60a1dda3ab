//! What Ringwall decides with, in the kernel and outside it: parsing, sessions, classification, reasons.
//!
//! A packet's journey is the order of the modules: [`source`] (how bytes are read), [`parse`], `framing`,
//! [`essential`], `failsafe`, `fragment`, `related`, [`session`], `list` ([`zone`], [`policy`], [`judge`]),
//! [`reply`]; [`pipeline`] is all of it in one screen.
//! State is reached through one door, [`tables::Tables`]. There is no clock here: time is an argument,
//! nanoseconds since boot.
#![no_std]
#![cfg_attr(not(feature = "user"), forbid(unsafe_code))]
#![allow(
    unreachable_pub,
    reason = "a library shared by the kernel side and the user side"
)]

#[cfg(test)]
extern crate std;

pub mod addr;
mod answers;
mod bounded;
pub mod config;
pub mod cookie;
pub mod essential;
pub mod event;
mod failsafe;
pub mod flow;
mod fragment;
mod framing;
pub mod judge;
pub mod limit;
mod list;
pub mod marks;
mod onward;
pub mod packet;
pub mod parse;
pub mod pipeline;
pub mod policy;
pub mod reason;
mod related;
pub mod reply;
pub mod session;
pub mod source;
mod stray;
pub mod tables;
#[cfg(feature = "user")]
pub mod user;
pub mod verdict;
mod vlan;
pub mod watch;
pub mod way_back;
pub mod zone;
