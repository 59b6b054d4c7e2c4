//! Which CARs each peer was reading, in the state folder: a file a peer, named by its id.
//!
//! It is a help, not a truth. A peer that comes back mid-DAG is served without a listing; one that is forgotten, or whose
//! list cannot be written, asks for its root again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hoverboard_peer::wire::PeerId;
use hoverboard_store::CarCid;
use hoverboard_store::memory::{MAX_CARS, decode, encode};
use parking_lot::Mutex;

/// As many peers are remembered; those that were here last.
const MAX_PEERS: usize = 10_000;
/// Peers that were not here for so long are forgotten.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// After so many lists were written the folder is looked through, and made so much smaller than it may be.
const SWEEP_EVERY: usize = 1_000;
/// The longest list that is read, in bytes: more than any has that was written here.
const MAX_LIST: u64 = 64 * MAX_CARS as u64;

/// The memory of peers. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Peers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    desk: Mutex<Desk>,
}

/// Lists on their way to the folder.
#[derive(Debug)]
struct Desk {
    /// What is to be written, and what is being written.
    lists: HashMap<PeerId, Vec<u8>>,
    /// A thread is writing.
    busy: bool,
    /// Lists written since the folder was looked through.
    unswept: usize,
}

impl Peers {
    /// The memory in the folder `peers` of a state folder, which is made if it is not there.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("peers");
        fs::create_dir_all(&folder)?;
        // The first list that is written has the folder looked through.
        let desk = Desk { lists: HashMap::new(), busy: false, unswept: SWEEP_EVERY };
        Ok(Self(Arc::new(Inner { folder, desk: Mutex::new(desk) })))
    }

    /// The CARs of this peer, newest first; none if nothing is known.
    pub(crate) async fn recall(&self, peer: PeerId) -> Vec<CarCid> {
        let inner = Arc::clone(&self.0);
        // A thread that died knows nothing.
        tokio::task::spawn_blocking(move || inner.recall(peer)).await.unwrap_or_default()
    }

    /// Keeps the CARs of this peer, newest first, in place of what was kept. They are written soon, by a thread that may
    /// block; what cannot be written is logged.
    pub(crate) fn remember<'a>(&self, peer: PeerId, cars: impl IntoIterator<Item = &'a CarCid>) {
        let mut desk = self.0.desk.lock();
        desk.lists.insert(peer, encode(cars));
        if !desk.busy {
            desk.busy = true;
            let inner = Arc::clone(&self.0);
            tokio::task::spawn_blocking(move || inner.write_all());
        }
    }
}

impl Inner {
    fn path(&self, peer: PeerId) -> PathBuf {
        self.folder.join(peer.to_base58())
    }

    fn recall(&self, peer: PeerId) -> Vec<CarCid> {
        let unwritten = self.desk.lock().lists.get(&peer).cloned();
        let read = match unwritten {
            Some(list) => Ok(list),
            None => read(&self.path(peer)),
        };
        match read.map(|list| decode(&list)) {
            Ok(Ok(cars)) => cars,
            Ok(Err(error)) => {
                tracing::warn!(%peer, %error, "a peer is forgotten");
                Vec::new()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(%peer, %error, "cannot read what is remembered of a peer");
                Vec::new()
            }
        }
    }

    /// Writes until nothing waits to be written.
    fn write_all(&self) {
        loop {
            let (peer, list) = {
                let mut desk = self.desk.lock();
                let Some((peer, list)) = desk.lists.iter().next() else {
                    desk.busy = false;
                    return;
                };
                (*peer, list.clone())
            };
            if let Err(error) = write(&self.folder, &self.path(peer), &list) {
                tracing::warn!(%peer, %error, "cannot remember what a peer is reading");
            }
            let mut desk = self.desk.lock();
            // A newer list may have come meanwhile.
            if desk.lists.get(&peer) == Some(&list) {
                desk.lists.remove(&peer);
            }
            desk.unswept += 1;
            if desk.unswept > SWEEP_EVERY {
                desk.unswept = 0;
                drop(desk);
                if let Err(error) = sweep(&self.folder, SystemTime::now(), MAX_PEERS - SWEEP_EVERY) {
                    tracing::debug!(%error, "cannot look through what is remembered of peers");
                }
            }
        }
    }
}

/// Reads a list, and notes that its peer was here.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut list = Vec::new();
    (&file).take(MAX_LIST).read_to_end(&mut list)?;
    // It only decides who is forgotten first.
    let _ = file.set_modified(SystemTime::now());
    Ok(list)
}

/// Writes a list so that it is there whole or not at all.
fn write(folder: &Path, path: &Path, list: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(list)?;
    file.persist(path)?;
    Ok(())
}

/// Removes the lists of peers that were not here for long, and the oldest where there are more than `keep`.
fn sweep(folder: &Path, now: SystemTime, keep: usize) -> io::Result<()> {
    let mut lists = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A list may have been replaced or removed since, also by another process over the same state folder.
        if let Ok(seen) = entry.metadata().and_then(|meta| meta.modified()) {
            lists.push((seen, entry.path()));
        }
    }
    lists.sort_unstable_by(|a, b| b.cmp(a));
    for (place, (seen, path)) in lists.into_iter().enumerate() {
        let is_old = now.duration_since(seen).is_ok_and(|age| age > KEPT);
        if place >= keep || is_old {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cars(numbers: impl IntoIterator<Item = u8>) -> Vec<CarCid> {
        numbers.into_iter().map(|number| CarCid::of_digest([number; 32])).collect()
    }

    async fn written(peers: &Peers) {
        while peers.0.desk.lock().busy {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_peer_is_remembered_before_and_after_its_list_is_written() {
        let state = tempfile::tempdir().expect("a folder");
        let (peers, peer) = (Peers::open(state.path()).expect("opened"), PeerId::random());
        assert_eq!(peers.recall(peer).await, []);
        for list in [cars(0..64), cars([1]), cars([2, 1])] {
            peers.remember(peer, &list);
            assert_eq!(peers.recall(peer).await, list);
        }
        written(&peers).await;
        let again = Peers::open(state.path()).expect("opened");
        assert_eq!(again.recall(peer).await, cars([2, 1]));
        assert_eq!(again.recall(PeerId::random()).await, []);
        assert_eq!(fs::read_dir(state.path().join("peers")).expect("listed").count(), 1);
    }

    #[tokio::test]
    async fn what_is_no_list_is_forgotten_and_written_over() {
        let state = tempfile::tempdir().expect("a folder");
        let (peers, peer) = (Peers::open(state.path()).expect("opened"), PeerId::random());
        for junk in [vec![], vec![1, 2, 3], vec![1; 1 << 20]] {
            fs::write(peers.0.path(peer), junk).expect("written");
            assert_eq!(peers.recall(peer).await, []);
        }
        peers.remember(peer, &cars([1]));
        written(&peers).await;
        assert_eq!(peers.recall(peer).await, cars([1]));
    }

    #[test]
    fn the_oldest_are_forgotten_first_and_nobody_after_a_month() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = SystemTime::now();
        for days in 0..40_u64 {
            let file = File::create(folder.path().join(days.to_string())).expect("created");
            file.set_modified(now - Duration::from_secs(days * 24 * 3_600)).expect("set");
        }
        let left = || {
            let names = fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("there").file_name());
            let mut left: Vec<u64> = names.map(|name| name.to_str().expect("utf-8").parse().expect("a day")).collect();
            left.sort_unstable();
            left
        };
        sweep(folder.path(), now, 100).expect("swept");
        assert_eq!(left(), (0..=30).collect::<Vec<_>>());
        sweep(folder.path(), now, 3).expect("swept");
        assert_eq!(left(), [0, 1, 2]);
    }

    #[tokio::test]
    async fn a_peer_that_comes_back_is_not_the_oldest_any_more() {
        let state = tempfile::tempdir().expect("a folder");
        let (peers, peer) = (Peers::open(state.path()).expect("opened"), PeerId::random());
        peers.remember(peer, &cars([1]));
        written(&peers).await;
        let path = peers.0.path(peer);
        let file = File::open(&path).expect("there");
        file.set_modified(SystemTime::now() - KEPT).expect("set");
        assert_eq!(peers.recall(peer).await, cars([1]));
        let age = path.metadata().and_then(|meta| meta.modified()).expect("told").elapsed().expect("past");
        assert!(age < KEPT / 2, "{age:?}");
    }
}
