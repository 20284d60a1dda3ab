//! The machine's file system: an archive in memory with busybox, the agent, the checks and modules.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::debian::Kernel;
use crate::command::{find, target_dir, text};

/// What `init.sh` loads, each after what it needs. A kernel that has one of them built in, or not at all,
/// goes without.
const MODULES: &[&str] = &[
    "veth",
    "dummy",
    "bridge",
    "sch_ingress",
    "cls_bpf",
    "8021q",
    "bonding",
    "wireguard",
    "ip_gre",
    "ip6_gre",
    "ipip",
    "sit",
    "ip6_tunnel",
    "vrf",
    "tun",
    "macvlan",
    "ipvlan",
    "vxlan",
    "geneve",
    "nf_tables",
    "nft_chain_nat",
    "nft_masq",
    "nft_nat",
    "nft_ct",
    "nft_reject_inet",
];

/// Programs that the checks call, with their libraries.
const PROGRAMS: [&str; 3] = ["ip", "nft", "wg"];

const INIT: &str = include_str!("init.sh");

/// Writes the archive to `image`.
pub(super) fn make(kernel: &Kernel, image: &Path) -> Result<()> {
    let root = image.with_extension("root");
    let _ = std::fs::remove_dir_all(&root);
    for dir in [
        "bin", "dev", "proc", "sys", "run", "tmp", "root", "etc", "var/lib", "modules",
    ] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    executable(&root.join("init"), INIT.as_bytes())?;
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let busybox = find("busybox").context("busybox")?;
    std::fs::copy(busybox, root.join("bin/busybox"))?;
    for name in PROGRAMS {
        let from = find(name).with_context(|| format!("the program {name}"))?;
        with_libraries(&from, &format!("usr/sbin/{name}"), &root)?;
    }
    for name in ["ringwall", "on-this-kernel"] {
        let to = format!("usr/bin/{name}");
        with_libraries(&target_dir().join("debug").join(name), &to, &root)?;
        strip(&root.join(to))?;
    }
    modules(kernel, &root.join("modules"))?;
    pack(&root, image)?;
    std::fs::remove_dir_all(&root)?;
    Ok(())
}

fn executable(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content)?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

fn with_libraries(from: &Path, to: &str, root: &Path) -> Result<()> {
    install(from, &root.join(to))?;
    let out = output(Command::new("ldd").arg(from))?;
    for word in out.split_whitespace().filter(|w| w.starts_with('/')) {
        let place = root.join(word.trim_start_matches('/'));
        if !place.exists() {
            install(Path::new(word), &place)?;
        }
    }
    Ok(())
}

fn install(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.parent().context("a place in the image")?)?;
    std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

fn strip(path: &Path) -> Result<()> {
    output(Command::new("strip").arg(path)).map(drop)
}

/// Modules go in uncompressed, under their names, with a list in the order in which they load.
fn modules(kernel: &Kernel, to: &Path) -> Result<()> {
    let from = kernel.modules();
    let needs = std::fs::read_to_string(from.join("modules.dep"))?;
    let mut list = String::new();
    for file in order(&needs, MODULES) {
        let name = module_name(&file);
        std::fs::write(
            to.join(format!("{name}.ko")),
            uncompressed(&from.join(&file))?,
        )?;
        list += &format!("{name}\n");
    }
    Ok(std::fs::write(to.join("order"), list)?)
}

/// `kernel/net/8021q/8021q.ko.xz` is `8021q`.
fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).to_owned()
}

/// Files of the modules wanted and of all that they need. A line of `modules.dep` names a module's needs
/// so that the last one loads first.
fn order(needs: &str, wanted: &[&str]) -> Vec<String> {
    let lines = needs.lines().filter_map(|line| line.split_once(':'));
    let by_name: BTreeMap<String, (&str, &str)> = lines
        .map(|(file, needs)| (module_name(file), (file, needs)))
        .collect();
    let mut all: Vec<String> = Vec::new();
    for (file, needs) in wanted.iter().filter_map(|name| by_name.get(*name)) {
        for next in needs.split_whitespace().rev().chain([*file]) {
            if !all.iter().any(|known| known == next) {
                all.push(next.to_owned());
            }
        }
    }
    all
}

fn uncompressed(file: &Path) -> Result<Vec<u8>> {
    let (program, arguments) = match file.extension().and_then(|e| e.to_str()) {
        Some("ko") => return Ok(std::fs::read(file)?),
        Some("xz") => ("xz", ["-dc"]),
        other => bail!("a module compressed in another way: {other:?}"),
    };
    let out = Command::new(program).args(arguments).arg(file).output()?;
    ensure!(out.status.success(), "{program} {}", file.display());
    Ok(out.stdout)
}

/// Everything as root's, whoever makes it.
fn pack(root: &Path, image: &Path) -> Result<()> {
    let mut names = String::new();
    list(root, root, &mut names)?;
    let mut cpio = Command::new("cpio");
    cpio.args(["-o", "-H", "newc", "--quiet", "-R", "0:0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut cpio = cpio.spawn().context("starting cpio")?;
    let to = std::fs::File::create(image)?;
    let archive = cpio.stdout.take().context("its output is a pipe")?;
    let mut gzip = Command::new("gzip")
        .arg("-1")
        .stdin(archive)
        .stdout(to)
        .spawn()?;
    let mut input = cpio.stdin.take().context("its input is a pipe")?;
    input.write_all(names.as_bytes())?;
    drop(input);
    ensure!(
        cpio.wait()?.success() && gzip.wait()?.success(),
        "packing the image"
    );
    Ok(())
}

fn list(root: &Path, dir: &Path, names: &mut String) -> Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)?
        .flatten()
        .map(|e| e.path())
        .collect();
    entries.sort();
    for path in entries {
        *names += &format!("{}\n", path.strip_prefix(root)?.display());
        if path.is_dir() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| text(command))?;
    ensure!(out.status.success(), "`{}`: {}", text(command), out.status);
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_load_after_what_they_need() {
        let needs = "kernel/a/x.ko.xz: kernel/a/y.ko.xz kernel/a/z.ko.xz\nkernel/a/y.ko.xz: kernel/a/z.ko.xz\nkernel/a/z.ko.xz:\n";
        let files = order(needs, &["y", "x", "no-such"]);
        let names: Vec<_> = files.iter().map(|f| module_name(f)).collect();
        assert_eq!(names, ["z", "y", "x"]);
    }
}
