//! Plain memory behaves as the kernel's tables do.
