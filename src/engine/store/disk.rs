//! The file of a store: what is in it, how it is read at the start, and one transaction.

use super::super::shelf::Shelf;
use super::super::{Name, RoomRules, Stored};
use super::survive::survive;
use crate::hub::Now;
use crate::hub::history::History;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Epoch, newest offset, and what is kept (messages, bytes, milliseconds).
type RoomRow = (&'static str, u64, (u64, u64, u64));
/// Time, key, and the message as JSON.
type MessageRow = (u64, Option<&'static str>, &'static str);

/// By room.
const ROOMS: TableDefinition<'_, &str, RoomRow> = TableDefinition::new("rooms");
/// By room and offset.
const MESSAGES: TableDefinition<'_, (&str, u64), MessageRow> = TableDefinition::new("messages");

/// Memory for pages of the file. What is read is in memory anyway.
const CACHE: usize = 8 * 1024 * 1024;

pub(super) struct Disk {
    path: PathBuf,
    database: Database,
    /// The lowest offset of each room that is on disk.
    first: HashMap<Name, u64>,
}

/// What one transaction changes.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<(Name, Stored, Option<Arc<str>>)>,
    /// Rooms with a message more, or fewer.
    pub(super) changed: HashSet<Name>,
    pub(super) forgotten: Vec<Name>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.changed.is_empty() && self.forgotten.is_empty()
    }
}

/// The file with all of its rooms.
pub(super) fn read(path: &Path, bytes: usize) -> Result<(Disk, Shelf), String> {
    let name: String = crate::net::masks::random().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    survive(path, || {
        let (mut disk, mut shelf) = (Disk::open(path)?, Shelf::new(&name, bytes));
        disk.load(crate::engine::now(), &mut shelf)?;
        Ok((disk, shelf))
    })
}

impl Disk {
    /// The file, which is made if it is not there; readable by its owner only. `Err`: what to do.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let said = |why: &str| format!("the store {}: {why}", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|error| {
            said(&format!("{error}; name a file in a directory that this user may write"))
        })?;
        let mut builder = Database::builder();
        // A file that something else has changed is an error then, not a panic later on.
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = FileBackend::new(file).and_then(|file| builder.create_with_backend(file));
        let database = database.map_err(|error| said(&advice(&error)))?;
        let disk = Self { path: path.into(), database, first: HashMap::new() };
        disk.make_tables().map_err(|error| said(&error.to_string()))?;
        Ok(disk)
    }

    fn make_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(ROOMS)?;
        transaction.open_table(MESSAGES)?;
        Ok(transaction.commit()?)
    }

    /// All rooms, onto an empty shelf.
    pub(super) fn load(&mut self, now: Now, shelf: &mut Shelf) -> Result<(), String> {
        let said = |error: redb::Error| {
            let why = "move the file away to begin without history, or put a copy of it back";
            format!("the store {} cannot be read: {error}; {why}", self.path.display())
        };
        let mut first = HashMap::new();
        self.rooms(|room, history, oldest, rules| {
            first.insert(room.clone(), oldest);
            shelf.restore(now, room, history, rules);
        })
        .map_err(said)?;
        shelf.restored();
        self.first = first;
        Ok(())
    }

    fn rooms(&self, mut each: impl FnMut(Name, History, u64, RoomRules)) -> Result<(), redb::Error> {
        let transaction = self.database.begin_read()?;
        let (rooms, messages) = (transaction.open_table(ROOMS)?, transaction.open_table(MESSAGES)?);
        let now = super::super::now();
        for entry in rooms.iter()? {
            let (room, value) = entry?;
            let (room, (epoch, newest, (count, bytes, age))) = (room.value(), value.value());
            let mut kept = Vec::new();
            for entry in messages.range((room, 0)..=(room, newest))? {
                let (at, value) = entry?;
                let (time, key, element) = value.value();
                kept.push((
                    Stored { offset: at.value().1, time, element: element.into() },
                    key.map(Arc::from),
                ));
            }
            let mut expected = newest;
            for (message, _) in kept.iter().rev() {
                if message.offset != expected {
                    let text = format!("the room `{room}` has a hole before offset {expected}");
                    return Err(StorageError::Corrupted(text).into());
                }
                expected -= 1;
            }
            let mut history = History::at(epoch, expected);
            kept.into_iter().for_each(|(message, key)| history.adopt(now, message, key));
            let rules = RoomRules {
                messages: usize::try_from(count).unwrap_or(usize::MAX),
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                age: Duration::from_millis(age),
                ..RoomRules::default()
            };
            each(room.into(), history, expected + 1, rules);
        }
        Ok(())
    }

    /// Everything or nothing; on return it is on the disk.
    pub(super) fn write(&mut self, batch: &Batch, shelf: &Shelf) -> Result<(), String> {
        self.try_write(batch, shelf).map_err(|error| format!("the store {}: {error}", self.path.display()))
    }

    fn try_write(&mut self, batch: &Batch, shelf: &Shelf) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut rooms = transaction.open_table(ROOMS)?;
            let mut messages = transaction.open_table(MESSAGES)?;
            // First: a room may have begun again since it was forgotten, in the same turn.
            for room in &batch.forgotten {
                rooms.remove(&**room)?;
                messages.retain_in((&**room, 0)..=(&**room, u64::MAX), |_, _| false)?;
                self.first.remove(room);
            }
            for (room, message, key) in &batch.messages {
                messages
                    .insert((&**room, message.offset), (message.time, key.as_deref(), &*message.element))?;
            }
            for room in &batch.changed {
                let Some((history, rules)) = shelf.get(room) else { continue };
                let kept = (rules.messages as u64, rules.bytes as u64, rules.age.as_millis() as u64);
                rooms.insert(&**room, (history.epoch(), history.offset(), kept))?;
                let oldest = history.oldest().unwrap_or(history.offset() + 1);
                let first = self.first.entry(room.clone()).or_insert(1);
                for offset in *first..oldest {
                    messages.remove((&**room, offset))?;
                }
                *first = oldest;
            }
        }
        Ok(transaction.commit()?)
    }
}

fn advice(error: &DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            "another process has it open; each server needs a file of its own".into()
        }
        DatabaseError::Storage(StorageError::Io(why)) if why.kind() != std::io::ErrorKind::InvalidData => {
            format!("{why}; see that the disk has space and the file can be written")
        }
        other => format!(
            "it is damaged, or no store ({other}); move the file away to begin without history, or put a copy of it back"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Publish;
    use super::super::super::shelf::Put;
    use super::*;

    #[test]
    fn a_room_that_is_forgotten_and_begins_again_at_once_is_kept() {
        let path = std::env::temp_dir().join(format!("switchboard-disk-{}", std::process::id()));
        let (now, room) = (crate::engine::now(), Name::from("r"));
        let publish = |key: &str| Publish {
            room: room.clone(),
            from: None,
            data: "1".into(),
            key: Some(key.into()),
            time: now.unix_ms,
            rules: RoomRules::default(),
        };
        let (mut disk, mut shelf) = (Disk::open(&path).unwrap(), Shelf::new("n", 1 << 20));
        let put = |shelf: &mut Shelf, batch: &mut Batch, key: &str| {
            let Put::New(_, message) = shelf.publish(now, &publish(key)) else { panic!() };
            batch.messages.push((room.clone(), message, publish(key).scoped_key()));
            batch.changed.insert(room.clone());
        };
        let mut first = Batch::default();
        (0..3).for_each(|n| put(&mut shelf, &mut first, &format!("first-{n}")));
        disk.write(&first, &shelf).unwrap();
        // All of it has become too old, and somebody publishes in the turn in which that is found out.
        let late = Now { instant: now.instant + RoomRules::default().age, ..now };
        let mut second = Batch { changed: shelf.trim(late).into_iter().collect(), ..Batch::default() };
        second.forgotten = shelf.forget_empty(|_| false);
        assert_eq!(second.forgotten, std::slice::from_ref(&room));
        put(&mut shelf, &mut second, "second");
        disk.write(&second, &shelf).unwrap();
        drop(disk);
        let (mut disk, mut again) = (Disk::open(&path).unwrap(), Shelf::new("m", 1 << 20));
        disk.load(now, &mut again).unwrap();
        let said = |shelf: &Shelf| {
            let (history, _) = shelf.get("r")?;
            let messages: Vec<Stored> = history.messages().cloned().collect();
            Some((history.epoch_name(), history.offset(), messages))
        };
        let kept = said(&again);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(kept.as_ref().map(|(_, offset, messages)| (*offset, messages.len())), Some((1, 1)));
        assert_eq!(kept, said(&shelf));
    }
}
