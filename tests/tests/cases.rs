//! The table of cases, three ways. Each case, family and way is a test of its own.

use libtest_mimic::{Arguments, Failed, Trial};
use ringwall_tests::case::{Case, Family, Way, families};
use ringwall_tests::run::host::HostBench;
use ringwall_tests::{cases, run};

fn main() {
    let arguments = Arguments::from_args();
    let trials = cases::all().into_iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials(case: Case) -> Vec<Trial> {
    let mut trials = Vec::new();
    for family in families()
        .into_iter()
        .filter(|family| case.runs_over(family))
    {
        for way in [Way::Host] {
            if !case.left_out.iter().any(|(out, _)| *out == way) {
                trials.push(trial(case.clone(), family, way));
            }
        }
    }
    trials
}

fn trial(case: Case, family: Family, way: Way) -> Trial {
    let version = if family.v6 { "v6" } else { "v4" };
    let word = match way {
        Way::Host => "host",
        Way::TestRun => "test-run",
        Way::Wire => "wire",
    };
    let name = format!("{word}::{}::{version}", case.name);
    Trial::test(name, move || {
        let result = match way {
            Way::Host => run::run(&mut HostBench::default(), &case, &family),
            Way::TestRun | Way::Wire => Ok(()),
        };
        result.map_err(|error| Failed::from(format!("{error:#}")))
    })
}
