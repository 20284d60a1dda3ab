//! How the linker makes the object.

fn main() {
    // Left to itself the linker turns every clearing of more than a word into a call of a loop over
    // single bytes. In line and word by word it is a tenth of the time, and of what must be verified.
    println!("cargo:rustc-link-arg=--disable-expand-memcpy-in-order");
    println!("cargo:rerun-if-changed=build.rs");
}
