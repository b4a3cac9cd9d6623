//! Entries of which some come from files, that can be read again while others use them.

use crate::error::Result;
use parking_lot::RwLock;
use std::sync::Arc;

type Source<T> = Arc<dyn Fn() -> Result<Vec<T>> + Send + Sync>;

/// Clones are the same one: what one reads again, all have.
#[derive(Clone)]
pub(super) struct Reloadable<T> {
    given: Vec<T>,
    files: Vec<Source<T>>,
    current: Arc<RwLock<Arc<[T]>>>,
    check: fn(&[T]) -> Result<()>,
}

impl<T: Clone> Reloadable<T> {
    /// Nothing; `check` judges all entries together.
    pub(super) fn new(check: fn(&[T]) -> Result<()>) -> Self {
        Self { given: Vec::new(), files: Vec::new(), current: Arc::new(RwLock::new(Arc::new([]))), check }
    }

    /// With one more, which stays and is not judged. No longer the same one as its clones.
    pub(super) fn with(mut self, entry: T) -> Self {
        self.given.push(entry.clone());
        self.and([entry])
    }

    /// With those of one more file. No longer the same one as its clones.
    pub(super) fn with_file(
        mut self,
        read: impl Fn() -> Result<Vec<T>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let more = read()?;
        self.files.push(Arc::new(read));
        let new = self.and(more);
        (new.check)(&new.get())?;
        Ok(new)
    }

    pub(super) fn get(&self) -> Arc<[T]> {
        self.current.read().clone()
    }

    pub(super) fn set(&self, entries: Arc<[T]>) {
        *self.current.write() = entries;
    }

    /// All or nothing: an error keeps the old ones.
    pub(super) fn reload(&self) -> Result<()> {
        let mut entries = self.given.clone();
        for read in &self.files {
            entries.extend(read()?);
        }
        (self.check)(&entries)?;
        *self.current.write() = entries.into();
        Ok(())
    }

    fn and(self, more: impl IntoIterator<Item = T>) -> Self {
        let entries = self.get().iter().cloned().chain(more).collect();
        Self { current: Arc::new(RwLock::new(entries)), ..self }
    }
}
