//! Policies that are refused: where, and with what words.
