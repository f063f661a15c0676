//! Runs in memory over the store: everything that is durable in the journal and not yet (or just now being) applied.
//!
//! One writer publishes batches, one applier freezes the run, applies it to the store and drops it. Readers look
//! through the layers first and at the store after: a run leaves memory only when the store has it, so no read misses.

use super::layer::Layer;
use bytes::Bytes;
use parlance_plugin_api::store::{Entry, Position, Scan, Store, StoreError, Table, Vault, Write};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A run that is being applied.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) layer: Layer,
    pub(crate) reaches: Position,
}

#[derive(Default)]
struct Layers {
    active: Layer,
    reaches: Position,
    frozen: Option<Arc<Run>>,
}

/// The sealed view of everything that is durable.
pub(crate) struct Overlay {
    layers: RwLock<Layers>,
    store: Arc<dyn Store>,
}

impl Overlay {
    pub(crate) fn new(store: Arc<dyn Store>, reaches: Position) -> Self {
        Self { layers: RwLock::new(Layers { reaches, ..Layers::default() }), store }
    }

    // A poisoned lock means that a writer panicked between two inserts of a durable batch: what is there is still durable.
    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a durable batch visible.
    pub(crate) fn publish(&self, writes: impl IntoIterator<Item = Write>, reaches: Position) {
        let mut layers = self.write();
        for Write { table, key, value } in writes {
            layers.active.insert(table, key, value);
        }
        layers.reaches = reaches;
    }

    /// Bytes in memory: the run that fills and the one that is being applied.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let layers = self.read();
        (layers.active.bytes(), layers.frozen.as_ref().map_or(0, |run| run.layer.bytes()))
    }

    /// Hands out the filled run for applying; the one from before, if it was never [`Self::applied`].
    pub(crate) fn freeze(&self) -> Option<Arc<Run>> {
        let mut layers = self.write();
        if layers.frozen.is_none() && !layers.active.is_empty() {
            let run = Run { layer: std::mem::take(&mut layers.active), reaches: layers.reaches };
            layers.frozen = Some(Arc::new(run));
        }
        layers.frozen.clone()
    }

    /// Gives a frozen run to the store.
    pub(crate) fn apply(&self, run: &Run, vault: &dyn Vault) -> Result<(), StoreError> {
        let writes = run.layer.sealed(vault).map_err(|error| StoreError::Engine(Box::new(error)))?;
        self.store.apply(&writes, run.reaches)
    }

    /// The frozen run is in the store.
    pub(crate) fn applied(&self) {
        let dropped = self.write().frozen.take();
        drop(dropped); // outside of the lock: it may be large
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        {
            let layers = self.read();
            let known = layers.active.get(table, key);
            if let Some(known) = known.or_else(|| layers.frozen.as_ref()?.layer.get(table, key)) {
                return Ok(known);
            }
        }
        self.store.get(table, key)
    }

    pub(crate) fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        // The active layer is copied page by page under the lock; the store is read without it only after both layers were seen.
        let layers = self.read();
        let frozen = layers.frozen.clone();
        layers.active.scan_over(scan, |scan| match &frozen {
            Some(run) => run.layer.scan_over(scan, |scan| self.store.scan(scan)),
            None => self.store.scan(scan),
        })
    }
}
