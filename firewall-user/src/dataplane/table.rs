//! A pinned table with the types of its keys and values.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use aya::Pod;
use aya::maps::MapData;

use super::error::{Error, Result};
use super::raw;

/// `BPF_NOEXIST`: only if the key is not there.
pub(super) const NEW: u64 = 1;

/// A table whose keys and values have been checked to have the sizes of `K` and `V`.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    map: MapData,
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Opens a pin in `directory`.
    pub(super) fn open(directory: &Path, name: &'static str) -> Result<Self> {
        Self::open_at(&directory.join(name), name)
    }

    /// Opens a pin that bears another name than its table.
    pub(super) fn open_at(pin: &Path, name: &'static str) -> Result<Self> {
        let failed = |error| Error::Table(name, io::Error::other(error));
        let map = MapData::from_pin(pin).map_err(failed)?;
        Self::from_map(map, name)
    }

    /// Takes a map over.
    pub(super) fn from_map(map: MapData, name: &'static str) -> Result<Self> {
        let failed = |error| Error::Table(name, io::Error::other(error));
        let info = map.info().map_err(failed)?;
        let sizes = (info.key_size() as usize, info.value_size() as usize);
        if sizes != (size_of::<K>(), size_of::<V>()) {
            return Err(Error::Shape {
                name,
                found: format!("keys of {} and values of {} bytes", sizes.0, sizes.1),
                wanted: format!("{} and {}", size_of::<K>(), size_of::<V>()),
            });
        }
        Ok(Self {
            map,
            name,
            types: PhantomData,
        })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    fn error(&self) -> impl Fn(io::Error) -> Error + use<K, V> {
        let name = self.name;
        move |error| Error::Table(name, error)
    }

    /// The underlying map.
    pub(super) fn map(&self) -> &MapData {
        &self.map
    }

    /// The underlying map, without its types.
    pub(super) fn into_map(self) -> MapData {
        self.map
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &K) -> Result<Option<V>> {
        raw::lookup(self.fd(), key).map_err(self.error())
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &K) -> Result<V> {
        self.get(key)?.ok_or(Error::Missing(self.name))
    }

    /// Sets a value.
    pub(super) fn set(&self, key: &K, value: &V) -> Result<()> {
        raw::update(self.fd(), key, value, 0).map_err(self.error())
    }

    /// Puts a value back that has just been taken out; says whether it is there again. One that has come in
    /// meanwhile stays, and where the table has filled up, there is no place for it.
    pub(super) fn put_back(&self, key: &K, value: &V) -> Result<bool> {
        self.offer(key, value, false)
    }

    /// Sets a value if there is a place for it, and with `replace` also where the key is there; says whether.
    pub(super) fn offer(&self, key: &K, value: &V, replace: bool) -> Result<bool> {
        let flags = if replace { 0 } else { NEW };
        let outcome = raw::update(self.fd(), key, value, flags);
        super::adopt::placed(outcome).map_err(self.error())
    }

    /// Sets a value unless the key is there; says whether it was not. Where the table is full, it is not set.
    pub(super) fn put_new(&self, key: &K, value: &V) -> Result<bool> {
        match raw::update(self.fd(), key, value, NEW) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(Error::Table(self.name, error)),
        }
    }

    /// Deletes a key; says whether it was there.
    pub(super) fn delete(&self, key: &K) -> Result<bool> {
        raw::delete(self.fd(), key).map_err(self.error())
    }

    /// Takes a key out; its value, if it was there.
    pub(super) fn take(&self, key: &K) -> Result<Option<V>> {
        raw::take(self.fd(), key).map_err(self.error())
    }

    /// Sets many values.
    pub(super) fn fill(&self, keys: &[K], values: &[V]) -> Result<()> {
        raw::update_all(self.fd(), keys, values).map_err(self.error())
    }

    /// Everything in it.
    pub(super) fn list(&self) -> Result<Vec<(K, V)>> {
        let mut all = Vec::new();
        raw::list::<K, V>(self.fd(), 1, |key, values| {
            all.extend(values.first().map(|value| (*key, *value)));
        })
        .map_err(self.error())?;
        Ok(all)
    }

    /// Places, used or not.
    pub(super) fn places(&self) -> Result<u32> {
        let info = self.map.info();
        let info = info.map_err(|error| Error::Table(self.name, io::Error::other(error)))?;
        Ok(info.max_entries())
    }
}

/// A per-CPU table of counters.
#[derive(Debug)]
pub(super) struct Counters<V> {
    map: MapData,
    name: &'static str,
    value: PhantomData<fn() -> V>,
}

impl<V: Pod> Counters<V> {
    /// Opens a pin in `directory`.
    pub(super) fn open(directory: &Path, name: &'static str) -> Result<Self> {
        let map = Table::<u32, V>::open(directory, name)?.into_map();
        Self::from_map(map, name)
    }

    /// Takes a map over.
    pub(super) fn from_map(map: MapData, name: &'static str) -> Result<Self> {
        // The size of a value of a per-CPU table is that of one CPU's.
        let Table { map, .. } = Table::<u32, V>::from_map(map, name)?;
        Ok(Self {
            map,
            name,
            value: PhantomData,
        })
    }

    /// Puts zeroes into a place of a hash table.
    pub(super) fn start(&self, place: u32) -> Result<()> {
        let failed = |error| Error::Table(self.name, error);
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| failed(error))?;
        raw::update_all(self.map.fd().as_fd(), &[place], &raw::zeroes::<V>(cpus)).map_err(failed)
    }

    /// Takes a place out of a hash table, if it is there.
    pub(super) fn end(&self, place: u32) -> Result<()> {
        let ended = raw::delete(self.map.fd().as_fd(), &place);
        ended
            .map(drop)
            .map_err(|error| Error::Table(self.name, error))
    }

    /// Calls `each` with every place and its values by CPU.
    pub(super) fn list(&self, mut each: impl FnMut(u32, &[V])) -> Result<()> {
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| Error::Table(self.name, error))?;
        raw::list::<u32, V>(self.map.fd().as_fd(), cpus, |place, values| {
            each(*place, values);
        })
        .map_err(|error| Error::Table(self.name, error))
    }
}
