//! A write of which only the first part reached the disk.
//!
//! By our file system it is a write that the database is just making: the part before a boundary of a sector is kept, the
//! database is told EIO and is dead before it can do anything about it, and every other file loses what was not synced. The
//! database was never told that the write succeeded, so it must survive that. Where our file system cannot be mounted, or
//! with `how: file`, the end of the data of the file that was written last is taken away behind its back: that may be data that
//! it was told is safe, and it is a corruption like a truncation.

use async_trait::async_trait;
use schism_cluster::{Cluster, Db};
use schism_history::Node;
use serde_json::{Map, Value};

use crate::agent::files::Harm;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::disk::{FILES, Faultfs, ONE, Victims, base_needs};
use crate::faults::disk_corrupt::{Corruption, REBUILD};
use crate::faults::lacking;
use crate::faults::lost_writes::{PowerLoss, Tear};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "torn-write";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "cuts the power in the middle of a write: a part of it is on the disk",
    options: &[
        ONE,
        OptionEntry {
            name: "how",
            key: "how",
            kind: OptionKind::OneOf(&["auto", "disk", "file"]),
            default: &["auto"],
            about: "by our file system in the middle of a write, by the end of a file behind its back, or the first that can be",
        },
        OptionEntry {
            name: "sector",
            key: "sector_bytes",
            kind: OptionKind::Bytes,
            default: &["512B"],
            about: "what a disk writes whole or not at all",
        },
        OptionEntry {
            name: "window",
            key: "window_ms",
            kind: OptionKind::Span(100, 60_000),
            default: &["10s"],
            about: "how long a write is waited for that crosses a sector",
        },
        FILES,
        REBUILD,
    ],
    works: "where nodes run our program; in the middle of a write where they have FUSE too",
    verified: "our file system tells which write was torn where, and the database is dead; or the node's own tools read the torn file",
    undone: "the disk goes on with what was synced, and the database is started; a file torn behind its back is not mended: the member \
             is rebuilt from the others where the database can do that",
    needs: |_| [base_needs(), vec![Need::Agent]].concat(),
    decide: |ask| {
        let how = match ask.word("how")? {
            "disk" => How::Disk,
            "file" => How::File,
            _ => How::Auto,
        };
        Ok(Box::new(TornWrite {
            how,
            victims: Victims::of(ask)?,
            sector_bytes: ask.number("sector_bytes")?.max(1),
            window_ms: ask.number("window_ms")?,
            files: ask.word("files").ok().map(str::to_owned),
            rebuild: ask.flag("rebuild"),
            chosen: None,
        }))
    },
    label: plain_label,
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Auto,
    Disk,
    File,
}

/// The fault; it is decided by which of two others it is done when the nodes were asked.
struct TornWrite {
    how: How,
    victims: Victims,
    sector_bytes: u64,
    window_ms: u64,
    files: Option<String>,
    rebuild: bool,
    chosen: Option<Box<dyn Fault>>,
}

impl TornWrite {
    fn chosen(&self) -> Result<&dyn Fault, FaultError> {
        self.chosen
            .as_deref()
            .ok_or_else(|| FaultError::Intention { class: CLASS.to_owned(), reason: "it was not prepared".to_owned() })
    }

    async fn choose(&self, cluster: &Cluster, db: &dyn Db) -> Result<Box<dyn Fault>, FaultError> {
        let by_file = || -> Box<dyn Fault> {
            let harm = Harm::Tear { sector_bytes: self.sector_bytes };
            let corruption = Corruption::new(self.victims.clone(), harm, self.files.clone(), false);
            Box::new(corruption.rebuilt(self.rebuild))
        };
        if self.how == How::File {
            return Ok(by_file());
        }
        match Faultfs::ready(cluster, &self.victims).await {
            Err(FaultError::Refused { .. }) if self.how == How::Auto => return Ok(by_file()),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let files = db.data_files().ok_or_else(|| lacking(CLASS, db))?;
        let own = || files.patterns().iter().map(|pattern| (*pattern).to_owned()).collect();
        let patterns = self.files.clone().map_or_else(own, |pattern| vec![pattern]);
        let tear = Tear { patterns, sector_bytes: self.sector_bytes };
        Ok(Box::new(PowerLoss::new(self.victims.clone(), self.window_ms, Some(tear))))
    }
}

#[async_trait]
impl Fault for TornWrite {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.chosen.as_ref().map_or_else(|| self.victims.label(""), |chosen| chosen.label())
    }

    fn nodes(&self) -> Vec<Node> {
        self.chosen.as_ref().map_or_else(|| self.victims.nodes.clone(), |chosen| chosen.nodes())
    }

    fn details(&self) -> Map<String, Value> {
        self.chosen.as_ref().map_or_else(Map::new, |chosen| chosen.details())
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        let mut chosen = self.choose(cluster, db).await?;
        let undo = chosen.prepare(cluster, db).await?;
        self.chosen = Some(chosen);
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        self.chosen()?.inject(cluster, db).await
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        self.chosen()?.verify_injected(cluster, db).await
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        self.chosen()?.verify_healed(cluster, db).await
    }
}
