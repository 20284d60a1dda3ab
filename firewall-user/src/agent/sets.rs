//! Dynamic sets: changed by commands, kept on disk, and put into the tables again where those are new.
//!
//! The table in the kernel comes first: a member is there before the command returns, whatever becomes of the disk.
//! An agent that starts beside a table that an earlier one has filled believes the table, since that is what packets
//! were judged by; the file then only says which version it is, and which time is a member's own. Where the table
//! is new (after a reboot or a detach), the file fills it before the policy comes into force.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use firewall_common::config::GENERATION_DYNAMIC;
use firewall_common::policy::dynamic::{FOR_EVER, MAX_MEMBERS};
use ipnet::IpNet;
use jiff::Timestamp;

use super::clock;
use super::state::Agent;
use super::text::SetLine;
use crate::api::types::{MemberRow, Problem, SetOp, SetReply, SetRequest, SetRow, exit};
use crate::policy::compiled::{Compiled, DynamicSet};
use crate::policy::text::address;
use crate::sets::members::{Set, is_for_ever, net_of, of_key, prefix_of};
use crate::sets::saved::{self, Loaded, Step, Version};
use crate::sets::{Change, Members};

/// Members whose time is over leave the tables this often; packets go by the time itself.
const SWEEP: u64 = 10_000_000_000;
/// Lines of a file beyond twice what is needed, before it is written anew.
const SPARE_LINES: usize = 4096;

/// The sets as the agent knows them.
#[derive(Debug, Default)]
pub(super) struct Sets {
    members: Arc<Members>,
    files: BTreeMap<String, Kept>,
    /// Members and table agree.
    begun: bool,
    /// When the last sweep was, in nanoseconds since boot.
    swept: u64,
}

/// What is known of a set's file.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    version: Version,
    lines: usize,
}

impl Sets {
    /// The tables were opened anew, so nothing is known of what they hold.
    pub(super) fn forget(&mut self) {
        self.begun = false;
    }
}

impl Agent {
    /// The members, as packets are judged by them.
    pub(super) fn members(&self) -> Arc<Members> {
        Arc::clone(&self.sets.members)
    }

    /// Brings the members and the tables together, once for each opening of the tables.
    pub fn begin_sets(&mut self) {
        if self.sets.begun || self.plane.is_none() {
            return;
        }
        let begun = self.bring_together();
        let failed = |error| format!("dynamic sets are not as they should be: {error:#}");
        self.note("sets", begun.err().map(failed));
    }

    fn bring_together(&mut self) -> anyhow::Result<()> {
        let names: BTreeMap<u32, String> = self
            .numbers
            .sets
            .iter()
            .map(|(n, i)| (*i, n.clone()))
            .collect();
        let (files, damaged) = self.read_files(names.values());
        let plane = self.plane.as_mut().context("the tables are not open")?;
        let held = plane.members()?;
        let mut members = Members::default();
        let mut none = Vec::new();
        if let Some(held) = &held {
            for (key, until) in held {
                let (number, prefix) = of_key(key);
                let file = names.get(&number).and_then(|name| files.get(name));
                let own = file.and_then(|file| file.members.get(&prefix));
                let own = own.copied().filter(|own| own <= until).unwrap_or(*until);
                let set = members.sets.entry(number).or_default();
                set.add(prefix, own, &mut none);
                none.clear();
            }
        } else {
            for (number, name) in &names {
                let set = members.sets.entry(*number).or_default();
                for (prefix, until) in files.get(name).iter().flat_map(|file| &file.members) {
                    set.add(*prefix, *until, &mut none);
                    none.clear();
                }
                plane.change_members(*number, &set.table())?;
            }
            plane.members_filled()?;
        }
        let of = |(name, file): (&String, &Loaded)| {
            let (version, lines) = (file.version, file.lines);
            (name.clone(), Kept { version, lines })
        };
        self.sets = Sets {
            members: Arc::new(members),
            files: files.iter().map(of).collect(),
            begun: true,
            swept: clock::boot_now(),
        };
        // Set while there was no agent to see it.
        for (name, _) in files.iter().filter(|(_, file)| file.askew) {
            if let Some(number) = self.numbers.sets.get(name).copied() {
                self.retime_set(name, number);
            }
        }
        // An earlier agent may have died between a change and its last step.
        self.judge_by_sets()?;
        anyhow::ensure!(damaged.is_empty(), "{}", damaged.join("; "));
        Ok(())
    }

    fn read_files<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
    ) -> (BTreeMap<String, Loaded>, Vec<String>) {
        let (mut files, mut damaged) = (BTreeMap::new(), Vec::new());
        let now = clock::now();
        for name in names {
            let path = saved::path_of(&self.settings.paths.state, name);
            match saved::load(&path, &now) {
                Ok(Some(file)) => {
                    if file.damaged > 0 {
                        let (path, lines) = (path.display(), file.damaged);
                        damaged.push(format!("{path}: {lines} lines are damaged and left out"));
                    }
                    files.insert(name.clone(), file);
                }
                Ok(None) => {}
                Err(error) => damaged.push(format!("{}: {error}", path.display())),
            }
        }
        (files, damaged)
    }

    /// Live sessions are judged anew, where the policy in force asks for sets.
    fn judge_by_sets(&mut self) -> anyhow::Result<()> {
        let flags = self.in_force().map_or(0, |now| now.compiled.head.flags);
        if flags & GENERATION_DYNAMIC == 0 {
            return Ok(());
        }
        if let Some(plane) = self.plane.as_mut() {
            plane.judge_anew()?;
        }
        self.tell_names();
        Ok(())
    }

    /// Adds, takes out, or empties.
    ///
    /// # Errors
    /// The set is none that can be changed, an address is none, or there is no room: then nothing was changed.
    pub fn change_set(&mut self, request: &SetRequest) -> Result<SetReply, Problem> {
        let set = self.dynamic_set(&request.name)?;
        self.begin_sets();
        let steps = self.steps(&set, request)?;
        let (changes, changed) = self.take_steps(set.number, &steps);
        let done = self.put_members(set.number, &changes);
        if let Err(error) = done {
            // What the table holds now is read from it.
            self.sets.forget();
            self.begin_sets();
            let text = format!("`{}` could not be changed as a whole: {error:#}", set.name);
            return Err(Problem::new(exit::NO, text));
        }
        let kept = self.keep_steps(&set, &steps);
        // From here on records tell the new generation.
        self.tell_names();
        let saved = kept.is_ok();
        let failed = |error| {
            format!(
                "the members of `{}` are in force, and would not be after a reboot: {error}",
                set.name
            )
        };
        self.note(&format!("set {}", set.name), kept.err().map(failed));
        Ok(SetReply {
            changed: changed as u64,
            entries: self.entries(set.number),
            generation: self.version(&set.name).generation,
            saved,
            set: set.name,
        })
    }

    fn put_members(&mut self, number: u32, changes: &[Change]) -> anyhow::Result<()> {
        let plane = self
            .plane
            .as_mut()
            .context("enforcement was ended by `ringwall detach`")?;
        plane.change_members(number, changes)?;
        self.judge_by_sets()
    }

    /// What a request asks for, where there is room for it.
    fn steps(&self, set: &DynamicSet, request: &SetRequest) -> Result<Vec<Step>, Problem> {
        let mut prefixes = prefixes(&request.addresses)?;
        prefixes.sort_unstable();
        prefixes.dedup();
        let now = clock::boot_now();
        match request.op {
            SetOp::Flush => Ok(vec![Step::Flush]),
            SetOp::Del => Ok(prefixes.iter().map(prefix_of).map(Step::Remove).collect()),
            SetOp::Add => {
                let seconds = request.for_s.or(set.default_for);
                let until = seconds.map_or(FOR_EVER, |seconds| {
                    now.saturating_add(seconds.saturating_mul(1_000_000_000)) | 1
                });
                let steps: Vec<Step> = prefixes
                    .iter()
                    .map(|net| Step::Add(prefix_of(net), until))
                    .collect();
                self.has_room(set, &steps)?;
                Ok(steps)
            }
        }
    }

    fn has_room(&self, set: &DynamicSet, steps: &[Step]) -> Result<(), Problem> {
        let now = self.sets.members.sets.get(&set.number);
        let is_new = |step: &&Step| match step {
            Step::Add(prefix, _) => now.is_none_or(|set| !set.has(*prefix)),
            _ => false,
        };
        let new = steps.iter().filter(is_new).count();
        let there = self.entries(set.number);
        let (name, max) = (&set.name, set.max);
        if there + new as u64 > u64::from(max) {
            let text = format!(
                "`{name}` may have {max} members and has {there}: {new} more have no room, and nothing was added; raise `max` in the policy, or take some out with `ringwall set del`"
            );
            return Err(Problem::new(exit::NO, text));
        }
        if self.sets.members.len() + new >= MAX_MEMBERS as usize {
            let text = format!(
                "all dynamic sets together may have {MAX_MEMBERS} members, and nothing was added"
            );
            return Err(Problem::new(exit::NO, text));
        }
        Ok(())
    }

    /// The members after it, what that changes in the table, and how many members it was about.
    fn take_steps(&mut self, number: u32, steps: &[Step]) -> (Vec<Change>, usize) {
        let members = Arc::make_mut(&mut self.sets.members);
        let set = members.sets.entry(number).or_default();
        let (mut changes, mut count) = (Vec::new(), 0);
        for step in steps {
            count += match step {
                Step::Add(prefix, until) => {
                    set.add(*prefix, *until, &mut changes);
                    1
                }
                Step::Remove(prefix) => usize::from(set.remove(*prefix, &mut changes)),
                Step::Flush => {
                    let all = std::mem::take(set);
                    changes.extend(all.iter().map(|(prefix, _)| Change {
                        prefix,
                        until: None,
                    }));
                    all.len()
                }
            };
        }
        (changes, count)
    }

    fn keep_steps(&mut self, set: &DynamicSet, steps: &[Step]) -> std::io::Result<()> {
        let kept = self.sets.files.entry(set.name.clone()).or_default();
        kept.version = Version {
            generation: kept.version.generation + 1,
            changed: clock::wall().as_millisecond(),
        };
        kept.lines += steps.len() + 1;
        let (version, lines) = (kept.version, kept.lines);
        let path = saved::path_of(&self.settings.paths.state, &set.name);
        let there = self.sets.members.sets.get(&set.number);
        if lines > 2 * there.map_or(0, Set::len) + SPARE_LINES {
            return self.write_anew(&set.name, set.number);
        }
        saved::append(&path, steps, version, &clock::now())
    }

    /// A set that no command has changed yet is as old as the first policy with it.
    pub(super) fn sets_begin(&mut self, compiled: &Compiled) {
        for set in &compiled.sets {
            let kept = self.sets.files.entry(set.name.clone()).or_default();
            if kept.version.changed != 0 {
                continue;
            }
            kept.version.changed = clock::wall().as_millisecond();
            let written = self.write_anew(&set.name, set.number);
            let failed = |error| format!("when `{}` began is not kept: {error}", set.name);
            self.note(&format!("set {}", set.name), written.err().map(failed));
        }
    }

    fn write_anew(&mut self, name: &str, number: u32) -> std::io::Result<()> {
        let path = saved::path_of(&self.settings.paths.state, name);
        let (version, members) = (self.version(name), self.members());
        let set = members.sets.get(&number);
        let all = set.into_iter().flat_map(Set::iter);
        saved::rewrite(&path, all, version, &clock::now())?;
        let kept = self.sets.files.entry(name.to_owned()).or_default();
        kept.lines = set.map_or(0, Set::len) + 1;
        Ok(())
    }

    /// Files say when by the wall clock, too, and that was set: they are written anew.
    pub(super) fn retime_sets(&mut self) {
        for (name, number) in self.numbers.sets.clone() {
            if self.sets.files.contains_key(&name) {
                self.retime_set(&name, number);
            }
        }
    }

    fn retime_set(&mut self, name: &str, number: u32) {
        let written = self.write_anew(name, number);
        let failed = |error| format!("`{name}` keeps its times by the old clock: {error}");
        self.note(&format!("set {name}"), written.err().map(failed));
    }

    /// Those whose time is over leave the table.
    pub(super) fn sweep_sets(&mut self) {
        let now = clock::boot_now();
        if now.saturating_sub(self.sets.swept) < SWEEP || self.sets.members.is_empty() {
            return;
        }
        self.sets.swept = now;
        let Some(plane) = self.plane.as_mut().filter(|_| self.sets.begun) else {
            return;
        };
        let members = Arc::make_mut(&mut self.sets.members);
        for (number, set) in &mut members.sets {
            let mut changes = Vec::new();
            if set.sweep(now, &mut changes) > 0 && plane.change_members(*number, &changes).is_err()
            {
                self.sets.begun = false;
                return;
            }
        }
    }

    fn version(&self, name: &str) -> Version {
        self.sets
            .files
            .get(name)
            .map_or_else(Version::default, |kept| kept.version)
    }

    fn entries(&self, number: u32) -> u64 {
        let now = clock::boot_now();
        let set = self.sets.members.sets.get(&number);
        let alive = |set: &Set| set.iter().filter(|(_, until)| *until > now).count();
        set.map_or(0, alive) as u64
    }

    /// The dynamic sets of the policy in force.
    #[must_use]
    pub fn set_rows(&self) -> Vec<SetRow> {
        let sets = self.in_force().map(|now| now.compiled.sets.as_slice());
        let row = |set: &DynamicSet| {
            let version = self.version(&set.name);
            let changed = Some(version.changed).filter(|changed| *changed != 0);
            let changed = changed.and_then(|ms| Timestamp::from_millisecond(ms).ok());
            SetRow {
                set: set.name.clone(),
                kind: "dynamic".to_owned(),
                entries: self.entries(set.number),
                max: Some(u64::from(set.max)),
                default_for_s: set.default_for,
                generation: Some(version.generation),
                changed: changed.map(|at| at.to_string()),
                named: Some(set.named),
                file: None,
            }
        };
        sets.unwrap_or_default().iter().map(row).collect()
    }

    /// All sets of the policy in force, the dynamic ones first.
    #[must_use]
    pub fn all_set_rows(&self) -> Vec<SetRow> {
        let versions = self.set_versions();
        let generation = |set: &SetLine| {
            let version = versions.iter().find(|one| one.set == set.name);
            version.map(|one| one.generation)
        };
        let row = |set: &SetLine| SetRow {
            set: set.name.clone(),
            kind: if set.file.is_some() { "file" } else { "inline" }.to_owned(),
            entries: set.entries,
            generation: generation(set),
            changed: self.set_changed(set).map(|at| at.to_string()),
            file: set.file.as_ref().map(|file| file.display().to_string()),
            ..SetRow::default()
        };
        let sets = self.in_force().map(|current| current.sets.as_slice());
        let fixed = sets.unwrap_or_default().iter().filter(|set| !set.dynamic);
        let mut rows = self.set_rows();
        rows.extend(fixed.map(row));
        rows
    }

    /// The members of a set; with an address, those that hold it.
    ///
    /// # Errors
    /// There is no such set, or no such address.
    pub fn member_rows(
        &self,
        name: &str,
        holding: Option<&str>,
    ) -> Result<Vec<MemberRow>, Problem> {
        let set = self.dynamic_set(name)?;
        let asked = holding
            .map(|word| prefixes(&[word.to_owned()]))
            .transpose()?;
        let holds = |net: &IpNet| {
            let asked = asked.as_ref();
            asked.is_none_or(|asked| asked.iter().any(|one| net.contains(one)))
        };
        let now = clock::now();
        let generation = self.version(name).generation;
        let members = self.sets.members.sets.get(&set.number);
        let alive = members.into_iter().flat_map(Set::iter);
        let alive = alive.filter(|(_, until)| *until > now.boot);
        let named = alive.map(|(prefix, until)| (net_of(prefix), until));
        let rows = named.filter(|(net, _)| holds(net)).map(|(net, until)| {
            let ends = (!is_for_ever(until)).then(|| saved::wall_of(until, &now));
            let ends = ends.and_then(|ms| Timestamp::from_millisecond(ms).ok());
            MemberRow {
                set: name.to_owned(),
                address: short(&net),
                until: ends.map(|at| at.to_string()),
                left_s: ends.map(|_| (until - now.boot).div_ceil(1_000_000_000)),
                generation,
            }
        });
        Ok(rows.collect())
    }

    fn dynamic_set(&self, name: &str) -> Result<DynamicSet, Problem> {
        let refuse = |text: String| Err(Problem::new(exit::INPUT, text));
        let Some(current) = self.in_force() else {
            return refuse(
                "no policy is in force, so there are no sets: begin with `ringwall apply PATH`"
                    .to_owned(),
            );
        };
        let sets = &current.compiled.sets;
        if let Some(set) = sets.iter().find(|set| set.name == name) {
            return Ok(set.clone());
        }
        if let Some(set) = current.sets.iter().find(|set| set.name == name) {
            let what = match &set.file {
                Some(file) => format!("its members are the lines of {}: change that, and it is read again", file.display()),
                None => "its members are in the policy's text: change that and apply it, or say `dynamic: true` of a set of its own".to_owned(),
            };
            return refuse(format!("`{name}` is not dynamic: {what}"));
        }
        let known: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
        let known = if known.is_empty() {
            "it has no dynamic sets; say `sets: {banned: {dynamic: true}}` in it".to_owned()
        } else {
            format!("its dynamic sets: {}", known.join(", "))
        };
        refuse(format!("the policy in force has no set `{name}`; {known}"))
    }
}

fn prefixes(words: &[String]) -> Result<Vec<IpNet>, Problem> {
    let mut all = Vec::with_capacity(words.len());
    for word in words {
        let read = address::parse(word);
        all.extend(read.map_err(|error| {
            let help = error
                .help
                .map(|help| format!("; {help}"))
                .unwrap_or_default();
            Problem::new(
                exit::INPUT,
                format!("{}{help}; nothing was changed", error.message),
            )
        })?);
    }
    Ok(all)
}

/// A single address without its length.
fn short(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}
