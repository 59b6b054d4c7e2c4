//! The tables of Elastic IPFS, as DynamoDB exports them: which blocks lie in which CAR, and where.
//!
//! An export is files of gzipped JSON lines, one item each. Of the tables two are of use: `v1-blocks-cars-position` has a
//! row for each block of each CAR, whose offset is that of the block's own bytes; `v1-cars` says how long each CAR was.
//! Which table a file is of is told by its rows.
//!
//! Nothing here knows of indexes: rows come out, bounded in size, and what is wrong is an error that names the line.

mod files;
mod lines;
mod row;
mod spool;

pub use self::files::{Failed, files, rows};
pub use self::lines::{Lines, MAX_LINE};
pub use self::row::{BlockRow, CarRow, Row, RowError, car_named};
pub use self::spool::{Block, Cars, Spool};
