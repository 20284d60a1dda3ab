//! Ctrl-C leaves nothing behind.

use ringwall_tests::net::sweep_own;

const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Before any other thread is there: blocks the signals in all of them and gives them to one that waits.
/// (Children start with nothing blocked: std sees to that.)
pub(crate) fn clean_up_on_interrupt() {
    // SAFETY: the set is initialised by sigemptyset before it is used, and lives through the calls.
    let set = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in SIGNALS {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    std::thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: both pointers are to locals that outlive the call.
        unsafe { libc::sigwait(&raw const set, &raw mut signal) };
        eprintln!("\nInterrupted; removing the namespaces.");
        sweep_own();
        std::process::exit(128 + signal);
    });
}
