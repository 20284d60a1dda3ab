//! The calls of bpf(2) that aya has no function for: whole tables at once, a look-up that deletes, where a link
//! sits, links of XDP and nothing else; and questions about devices that rustix has no function for.
//! The only unsafe code of the agent, with `window`.
//!
//! All of them exist for all our kinds of tables since Linux 5.14, which is below the floor.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::Pod;

const MAP_CREATE: libc::c_long = 0;
const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;
const LOOKUP_AND_DELETE: libc::c_long = 21;
const LOOKUP_BATCH: libc::c_long = 24;
const UPDATE_BATCH: libc::c_long = 26;
const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;
const LINK_DETACH: libc::c_long = 34;

/// What a new table is; the beginning of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    /// Number of the kind, as in `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Places.
    pub places: u32,
    /// `BPF_F_…` bits.
    pub flags: u32,
    inner: u32,
    numa: u32,
    name: [u8; 16],
}

impl Shape {
    /// A shape with a name of at most fifteen bytes.
    pub(super) fn new(
        kind: u32,
        key: u32,
        value: u32,
        places: u32,
        flags: u32,
        name: &CStr,
    ) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().take(15).zip(name.to_bytes()) {
            *to = *from;
        }
        Self {
            kind,
            key,
            value,
            places,
            flags,
            name: bytes,
            ..Self::default()
        }
    }

    /// A table of tables that are all like `inner`.
    pub(super) fn of_tables(places: u32, inner: BorrowedFd<'_>, name: &CStr) -> Self {
        const ARRAY_OF_MAPS: u32 = 12;
        Self {
            inner: number(inner),
            ..Self::new(ARRAY_OF_MAPS, 4, 4, places, 0, name)
        }
    }
}

#[repr(C)]
#[derive(Default)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Pin {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoRequest {
    fd: u32,
    size: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info` for a TCX or XDP link.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    interface: u32,
    direction: u32,
}

/// What programs are on a hook; the part of `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct Query {
    interface: u32,
    kind: u32,
    flags: u32,
    attached: u32,
    programs: u64,
    count: u32,
    pad: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

/// The beginning of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    instructions: [u64; 2],
    loaded: u64,
    user: u32,
    maps: u32,
    map_numbers: u64,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct LinkDetach {
    link: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Where a listing goes on; opaque, and large enough for every kind of table (a hash table writes four
/// bytes, others a key).
type Cursor = [u64; 8];

/// # Safety
/// `attributes` is what `command` expects, and all pointers in it are valid for what it does.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    let size = size_of::<T>();
    // SAFETY: the kernel reads and writes `size` bytes at the address; the caller vouches for the rest.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn address<T>(place: *const T) -> u64 {
    place.addr() as u64
}

/// Makes a table.
pub(super) fn create(mut shape: Shape) -> io::Result<OwnedFd> {
    // SAFETY: the shape holds no pointers and valid descriptors, and the command answers with a new descriptor.
    unsafe { descriptor(MAP_CREATE, &mut shape) }
}

/// Opens a pin.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin {
        path: address(path.as_ptr()),
        ..Pin::default()
    };
    // SAFETY: the path is a string that lives long enough; the command answers with a new descriptor.
    unsafe { descriptor(OBJ_GET, &mut pin) }
}

/// Pins an object once more.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin {
        path: address(path.as_ptr()),
        fd: number(object),
        ..Pin::default()
    };
    // SAFETY: the path is a string that lives long enough.
    unsafe { bpf(OBJ_PIN, &mut pin) }.map(drop)
}

/// Puts a program on a device's XDP hook, only if nobody's is there; `flags` as in `XDP_FLAGS_…_MODE`.
pub(super) fn link_xdp(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    const XDP: u32 = 37;
    let mut create = LinkCreate {
        program: number(program),
        interface,
        attach: XDP,
        flags,
    };
    // SAFETY: no pointers, and the command answers with a new descriptor.
    unsafe { descriptor(LINK_CREATE, &mut create) }
}

/// Gives a link another program, in one step for packets.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut update = LinkUpdate {
        link: number(link),
        program: number(program),
        ..LinkUpdate::default()
    };
    // SAFETY: no pointers.
    unsafe { bpf(LINK_UPDATE, &mut update) }.map(drop)
}

/// The number of this thread's network namespace that is never given again while the machine runs
/// (`SO_NETNS_COOKIE`, since Linux 5.14).
pub(super) fn namespace_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    let mut cookie = 0_u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes to `cookie`, and how many to `size`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut size,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// The interface that a TCX or XDP link sits on; `None` where that is gone.
pub(super) fn interface_of(link: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    Ok(Some(link_info(link)?.interface).filter(|index| *index != 0))
}

/// The number of the program that a link runs.
pub(super) fn program_of(link: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(link_info(link)?.program)
}

/// The programs on a TCX hook of an interface, in the order in which they run; none before Linux 6.6.
pub(super) fn programs_at(interface: u32, egress: bool) -> io::Result<Vec<u32>> {
    const BPF_TCX_INGRESS: u32 = 46;
    // As many as the kernel takes on a hook (`BPF_MPROG_MAX`).
    let mut programs = [0_u32; 64];
    let mut query = Query {
        interface,
        kind: BPF_TCX_INGRESS + u32::from(egress),
        programs: address(programs.as_mut_ptr()),
        count: 64,
        ..Query::default()
    };
    // SAFETY: there is room for `count` numbers at the one address, and the others are none.
    match unsafe { bpf(PROG_QUERY, &mut query) } {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Vec::new()),
        outcome => {
            outcome?;
            Ok(programs.into_iter().take(query.count as usize).collect())
        }
    }
}

/// A program's name, as far as the kernel keeps and we may see it (that takes `CAP_SYS_ADMIN`).
pub(super) fn program_name(program: u32) -> Option<String> {
    let mut which = ById {
        id: program,
        ..ById::default()
    };
    // SAFETY: no pointers, and the command answers with a new descriptor.
    let program = unsafe { descriptor(PROG_GET_FD_BY_ID, &mut which) }.ok()?;
    let mut info = ProgramInfo::default();
    let mut request = InfoRequest {
        fd: number(program.as_fd()),
        size: size_of::<ProgramInfo>() as u32,
        info: address(&raw mut info),
    };
    // SAFETY: the kernel writes at most `size` bytes to `info`, whose lengths and addresses ask for nothing more.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut request) }.ok()?;
    let end = info.name.iter().position(|byte| *byte == 0)?;
    let name = String::from_utf8_lossy(info.name.get(..end)?).into_owned();
    Some(name).filter(|name| !name.is_empty())
}

fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut request = InfoRequest {
        fd: number(link),
        size: size_of::<LinkInfo>() as u32,
        info: address(&raw mut info),
    };
    // SAFETY: the kernel writes at most `size` bytes to `info`, which integers are made of.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut request)? };
    Ok(info)
}

/// Takes a link from its hook now; without this the kernel does so some time after its last pin is gone.
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut detach = LinkDetach { link: number(link) };
    // SAFETY: no pointers.
    unsafe { bpf(LINK_DETACH, &mut detach) }.map(drop)
}

/// A question about an interface.
fn about(interface: &str) -> libc::ifreq {
    // SAFETY: integers, unions of integers and a pointer, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, which ends the name.
    let places = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, from) in places.zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request
}

/// The type of an interface's hardware (`ARPHRD_…`).
pub(super) fn hardware_type(socket: BorrowedFd<'_>, interface: &str) -> io::Result<u16> {
    let mut request = about(interface);
    // SAFETY: the kernel reads and writes exactly this structure.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the request that succeeded fills in this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct Driver {
    command: u32,
    name: [u8; 32],
    more: [u8; 160],
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    value: u32,
}

const _: () = assert!(size_of::<Driver>() == 196);

/// The name of an interface's driver.
pub(super) fn driver(socket: BorrowedFd<'_>, interface: &str) -> io::Result<String> {
    const GET_DRIVER: u32 = 3;
    let mut info = Driver {
        command: GET_DRIVER,
        name: [0; 32],
        more: [0; 160],
    };
    // SAFETY: this command writes one such structure.
    unsafe { ethtool(socket, interface, &mut info)? };
    let name = info.name.split(|byte| *byte == 0).next();
    Ok(String::from_utf8_lossy(name.unwrap_or_default()).into_owned())
}

/// The offloads of an interface that have an `ETH_FLAG_…`.
pub(super) fn offloads(socket: BorrowedFd<'_>, interface: &str) -> io::Result<u32> {
    const GET_FLAGS: u32 = 0x25;
    let mut flags = Value {
        command: GET_FLAGS,
        value: 0,
    };
    // SAFETY: this command writes one such structure.
    unsafe { ethtool(socket, interface, &mut flags)? };
    Ok(flags.value)
}

/// # Safety
/// `question` begins with a command's number, and is the structure that the command writes.
unsafe fn ethtool<T>(socket: BorrowedFd<'_>, interface: &str, question: &mut T) -> io::Result<()> {
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    let mut request = about(interface);
    request.ifr_ifru.ifru_data = std::ptr::from_mut(question).cast();
    // SAFETY: the caller vouches for what is behind the pointer.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// # Safety
/// As for [`bpf`], and the command answers with a new descriptor.
unsafe fn descriptor<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for it.
    let fd = unsafe { bpf(command, attributes)? };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A value that the kernel fills in; `V` must be as large as the table's values.
fn read_one<K: Pod, V: Pod>(
    command: libc::c_long,
    map: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Option<V>> {
    let mut value = MaybeUninit::<V>::zeroed();
    let mut element = Element {
        map: number(map),
        key: address(key),
        value: address(value.as_mut_ptr()),
        ..Element::default()
    };
    // SAFETY: the table's keys and values have the sizes of `K` and `V`: `Table` checks them.
    match unsafe { bpf(command, &mut element) } {
        // SAFETY: zeroed or written by the kernel, and any bytes are a value of a `Pod`.
        Ok(_) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The value of a key, if it is there.
pub(super) fn lookup<K: Pod, V: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    read_one(LOOKUP, map, key)
}

/// Takes a key out; its value, if it was there.
pub(super) fn take<K: Pod, V: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    read_one(LOOKUP_AND_DELETE, map, key)
}

/// Sets a value; `flags` as in `bpf_map_update_elem`.
pub(super) fn update<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
    flags: u64,
) -> io::Result<()> {
    let mut element = Element {
        map: number(map),
        key: address(key),
        value: address(value),
        flags,
        ..Element::default()
    };
    // SAFETY: as in `read_one`; the kernel only reads both.
    unsafe { bpf(UPDATE, &mut element) }.map(drop)
}

/// Deletes a key; says whether it was there.
pub(super) fn delete<K: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    let mut element = Element {
        map: number(map),
        key: address(key),
        ..Element::default()
    };
    // SAFETY: as in `read_one`; the kernel only reads the key.
    match unsafe { bpf(DELETE, &mut element) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets many values in one call. One key of a per-CPU table has one value for each possible CPU.
pub(super) fn update_all<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> io::Result<()> {
    let count = u32::try_from(keys.len().min(values.len())).map_err(io::Error::other)?;
    if count == 0 {
        return Ok(());
    }
    let mut batch = Batch {
        keys: address(keys.as_ptr()),
        values: address(values.as_ptr()),
        count,
        map: number(map),
        ..Batch::default()
    };
    // SAFETY: both slices hold `count` items of the table's sizes, or one key and all of its values; the kernel only
    // reads them.
    unsafe { bpf(UPDATE_BATCH, &mut batch) }.map(drop)
}

/// Everything in a table, `per_key` values for each key (per-CPU tables have one for each possible CPU).
/// What is put in or taken out meanwhile may or may not be listed; nothing else is missed.
pub(super) fn list<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    per_key: usize,
    mut each: impl FnMut(&K, &[V]),
) -> io::Result<()> {
    let mut size = 4096_usize;
    let mut cursor: Cursor = [0; 8];
    let mut first = true;
    loop {
        let mut keys = zeroes::<K>(size);
        let mut values = zeroes::<V>(size * per_key);
        let mut next: Cursor = [0; 8];
        let mut batch = Batch {
            from: if first { 0 } else { address(cursor.as_ptr()) },
            to: address(next.as_mut_ptr()),
            keys: address(keys.as_mut_ptr()),
            values: address(values.as_mut_ptr()),
            count: u32::try_from(size).map_err(io::Error::other)?,
            map: number(map),
            ..Batch::default()
        };
        // SAFETY: there is room for `count` keys and values of the table's sizes, and for any cursor.
        let outcome = unsafe { bpf(LOOKUP_BATCH, &mut batch) };
        let end = match outcome {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            // A bucket holds more than there was room for.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && size < 1 << 22 => {
                size *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        let count = batch.count as usize;
        for (key, values) in keys.iter().zip(values.chunks(per_key)).take(count) {
            each(key, values);
        }
        if end {
            return Ok(());
        }
        (cursor, first) = (next, false);
    }
}

/// So many zeroes.
pub(super) fn zeroes<T: Pod>(count: usize) -> Vec<T> {
    // SAFETY: any bytes are a value of a `Pod`.
    vec![unsafe { MaybeUninit::<T>::zeroed().assume_init() }; count]
}
