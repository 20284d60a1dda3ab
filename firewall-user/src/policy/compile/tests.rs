//! Limits and corners of the compiler; that it decides right is shown against the oracle.
