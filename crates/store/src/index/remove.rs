//! A CAR out of the bucket: struck from the index first, then its entries, its index, and itself.
//!
//! The order is what makes a crash harmless. Within ten seconds of the strike nobody is led to the CAR any more, and what is
//! left behind by a crash is found again by the same command: a root's own entry goes last, because it is what leads from the
//! root to the CAR.

use cid::Cid;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::known::Known;
use super::{Index, IndexError};
use crate::CarCid;
use crate::layout::{self, CARPARK, DUDEWHERE, SATNAV};

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// This CAR.
    Car(CarCid),
    /// All CARs that DUDEWHERE has for this root.
    Root(Cid),
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The CARs.
    pub cars: Vec<CarCid>,
    /// Objects, of the three places.
    pub objects: u64,
}

impl Index {
    /// Removes CARs.
    ///
    /// DUDEWHERE is listed as a whole, because a CAR may be entered under roots that it does not name.
    ///
    /// # Errors
    ///
    /// The store fails, or the host says stop. It is safe to do it again, and the way to finish it.
    pub async fn remove(&self, what: &Removal) -> Result<Removed, IndexError> {
        let (cars, last) = match what {
            Removal::Car(car) => (vec![*car], None),
            Removal::Root(root) => (self.cars_of(root).await?, Some(root)),
        };
        let mut removed = Removed { cars, objects: 0 };
        self.strike_cars(&removed.cars).await?;
        let entries = self.entries_of(&removed.cars).await?;
        let own = |key: &Path| last.is_some_and(|root| removed.cars.iter().any(|car| layout::entry(root, car) == *key));
        let (own, others): (Vec<Path>, Vec<Path>) = entries.into_iter().partition(own);
        let mut objects = 0;
        for key in others {
            objects += self.delete(&*self.bucket.dudewhere, DUDEWHERE, &key).await?;
        }
        for car in &removed.cars {
            objects += self.delete(&*self.bucket.satnav, SATNAV, &layout::index(car)).await?;
            for key in [layout::car(car), layout::blob(car)] {
                objects += self.delete(&*self.bucket.carpark, CARPARK, &key).await?;
            }
        }
        for key in own {
            objects += self.delete(&*self.bucket.dudewhere, DUDEWHERE, &key).await?;
        }
        // An indexer that ran beside may have found the CAR before it was gone.
        self.strike_cars(&removed.cars).await?;
        removed.objects = objects;
        Ok(removed)
    }

    /// Strikes all ordinals of these CARs.
    async fn strike_cars(&self, cars: &[CarCid]) -> Result<(), IndexError> {
        let Some(manifest) = self.newest().await? else { return Ok(()) };
        let mut known = Known::new();
        known.read(self, &manifest).await?;
        let ordinals = cars.iter().flat_map(|car| known.ordinals(car).iter().copied()).collect();
        self.strike(ordinals).await.map(drop)
    }

    async fn cars_of(&self, root: &Cid) -> Result<Vec<CarCid>, IndexError> {
        let entries = self.listed(&layout::entries(root)).await?;
        let mut cars: Vec<CarCid> = entries.iter().filter_map(|meta| layout::car_of_entry(&meta.location)).collect();
        cars.sort_unstable();
        cars.dedup();
        Ok(cars)
    }

    /// Every entry that leads to one of these CARs.
    async fn entries_of(&self, cars: &[CarCid]) -> Result<Vec<Path>, IndexError> {
        if cars.is_empty() {
            return Ok(Vec::new());
        }
        let leads = |meta: &ObjectMeta| layout::car_of_entry(&meta.location).is_some_and(|car| cars.contains(&car));
        let mut found = Vec::new();
        let mut listing = self.bucket.dudewhere.list(None);
        while let Some(entry) = listing.next().await {
            match entry {
                Ok(meta) if leads(&meta) => found.push(meta.location),
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(source) => return Err(IndexError::store("list", DUDEWHERE, &Path::default(), source)),
            }
        }
        Ok(found)
    }

    async fn listed(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, IndexError> {
        let mut found = Vec::new();
        let mut listing = self.bucket.dudewhere.list(Some(prefix));
        while let Some(entry) = listing.next().await {
            match entry {
                Ok(meta) => found.push(meta),
                Err(Error::NotFound { .. }) => {}
                Err(source) => return Err(IndexError::store("list", DUDEWHERE, prefix, source)),
            }
        }
        Ok(found)
    }

    /// Removes an object; says how many there were. Stores do not all say when there is none, so it is looked for first.
    pub(super) async fn delete(&self, store: &dyn ObjectStore, place: &str, key: &Path) -> Result<u64, IndexError> {
        self.check_stopped()?;
        let failed = |source| IndexError::store("remove", place, key, source);
        match self.retrying(|| store.head(key)).await {
            Ok(_) => {}
            Err(Error::NotFound { .. }) => return Ok(0),
            Err(source) => return Err(failed(source)),
        }
        match self.retrying(|| store.delete(key)).await {
            Ok(()) => Ok(1),
            Err(Error::NotFound { .. }) => Ok(0),
            Err(source) => Err(failed(source)),
        }
    }
}
