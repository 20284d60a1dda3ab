//! How a test says that it was skipped, and why.
//!
//! libtest knows only "ok" and "failed" at run time. A test that cannot run here writes a line into the
//! file named by `RINGWALL_SKIP_FILE`; `cargo xtask test` counts it as skipped, not as passed.

use std::io::Write as _;

/// Names the file that skips are written to: one `name TAB reason` a line.
pub const ENV: &str = "RINGWALL_SKIP_FILE";

/// Leaves the test, counted as skipped for the reason given (a format string and its arguments).
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        fn here() {}
        $crate::skip::report(&$crate::skip::test_name(std::any::type_name_of_val(&here)), &format!($($reason)+));
        return Default::default();
    }};
}

/// Leaves the test as skipped unless it runs as root.
#[macro_export]
macro_rules! need_root {
    () => {
        if !$crate::skip::is_root() {
            $crate::skip!("needs root");
        }
    };
}

/// Leaves the test as skipped unless a program is there to be run.
#[macro_export]
macro_rules! need_program {
    ($program:literal) => {
        if !$crate::skip::is_installed($program) {
            $crate::skip!("{} is not installed", $program);
        }
    };
}

/// Whether a program is found in `PATH`.
pub fn is_installed(program: &str) -> bool {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places).any(|place| place.join(program).is_file())
}

/// Whether this process may make network namespaces and load programs.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The running test's name: its thread's, or else taken from a type's path inside the test function.
pub fn test_name(type_name: &str) -> String {
    if let Some(name) = std::thread::current().name().filter(|n| *n != "main") {
        return name.to_owned();
    }
    let path = type_name
        .trim_end_matches("::here")
        .replace("::{{closure}}", "");
    path.split_once("::")
        .map_or_else(|| path.clone(), |(_, rest)| rest.to_owned())
}

/// Records a skip (also of a part of a test, under a name of its own).
pub fn report(name: &str, reason: &str) {
    let line = format!("{name}\t{}\n", reason.replace('\n', " "));
    println!("SKIP {name}: {reason}");
    let Some(path) = std::env::var_os(ENV) else {
        return;
    };
    // One write of one line in append mode: parallel tests cannot mix theirs.
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(path);
    file.and_then(|mut f| f.write_all(line.as_bytes()))
        .expect("the skip file can be written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_comes_from_the_thread_or_the_type() {
        assert_eq!(
            test_name("x::y"),
            "skip::tests::name_comes_from_the_thread_or_the_type"
        );
        let in_main = std::thread::Builder::new().name("main".into());
        let found = in_main
            .spawn(|| test_name("e2e::restart::works::{{closure}}::here"))
            .unwrap();
        assert_eq!(found.join().unwrap(), "restart::works");
    }
}
