//! Reading all section heads of a CAR: the index over them, and what is wrong with the file.
//!
//! A section that cannot be read is passed over where its length says how far, and the rest is served as ever. Whether
//! that length was right shows behind it: where one section without a CID follows another, the place of the
//! sections is lost, and blocks may be there that are not found.

use std::fs::File;
use std::io;

use hoverboard_car::index::{Codec, IndexBuilder};
use hoverboard_car::{Error, Options, Scanner, SectionOffset, Skipped, SkippedBlock};

use super::files::read_full_at;
use super::index_file::{Fault, Origin, Summary};
use super::stamp::Stamp;

/// What the section heads say.
pub(crate) struct Survey {
    pub(crate) summary: Summary,
    pub(crate) builder: IndexBuilder,
    /// From here on there may be sections that were not found
    pub(crate) lost_at: Option<SectionOffset>,
}

/// Reads every section head.
///
/// # Errors
/// The file cannot be read. What is wrong with the CAR is in the summary.
pub(crate) fn survey(file: &File, stamp: Stamp) -> io::Result<Survey> {
    let mut scanner = Scanner::new(stamp.size, Options::default());
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    let mut damage = Damage::default();
    let mut buffer = Vec::new();
    // What of the file is in the buffer.
    let (mut start, mut len) = (0, 0);
    while let Some(want) = scanner.want() {
        let is_there = want.offset >= start && want.offset + want.min as u64 <= start + len as u64;
        if !is_there {
            if buffer.len() < want.useful {
                buffer.resize(want.useful, 0);
            }
            start = want.offset;
            len = read_full_at(file, &mut buffer[..want.useful], start)?;
        }
        let bytes = &buffer[(want.offset - start) as usize..len];
        let fed = scanner.feed(bytes, |head| {
            builder.push(head.cid.hash(), head.offset);
            damage.is_over();
        });
        if let Err(error) = fed {
            match scanner.skip_section() {
                Some(skipped) => {
                    // It is there, if not to be had: nobody is to be told that it is not.
                    if let SkippedBlock::Named(cid) = skipped.block {
                        builder.push(cid.hash(), skipped.offset);
                    }
                    damage.add(&skipped, &error);
                }
                None => {
                    let payload_start = scanner.header().map(hoverboard_car::Header::payload_start);
                    damage.end(error, payload_start);
                    break;
                }
            }
        }
    }
    let payload = match scanner.header() {
        Some(header) => header.payload_start()..header.payload_end().map_or(stamp.size, |end| end.min(stamp.size)),
        None => 0..0,
    };
    let lost_at = damage.lost_at;
    Ok(Survey { summary: Summary { stamp, payload, origin: Origin::Scan, fault: damage.fault() }, builder, lost_at })
}

/// What is wrong with a CAR, as a survey goes through it.
#[derive(Debug, Default)]
struct Damage {
    /// The first thing that is wrong
    first: Option<(Option<u64>, String)>,
    /// What ended the survey, if that is another
    last: Option<String>,
    skipped: u64,
    /// The section before this was passed over without its length being borne out
    unproven: Option<Skipped>,
    lost_at: Option<SectionOffset>,
}

impl Damage {
    /// A section follows that can be read, so that the place was right.
    fn is_over(&mut self) {
        self.unproven = None;
    }

    /// A section was passed over.
    fn add(&mut self, skipped: &Skipped, error: &Error) {
        let goes_on = |before: &Skipped| (before.block, skipped.block) == (SkippedBlock::Zeros, SkippedBlock::Zeros);
        if self.unproven.as_ref().is_some_and(goes_on) {
            return;
        }
        self.skipped += 1;
        self.first.get_or_insert_with(|| (error.at(), error.to_string()));
        match skipped.block {
            SkippedBlock::Named(_) | SkippedBlock::LongDigest => self.unproven = None,
            SkippedBlock::Nameless | SkippedBlock::Zeros => {
                if let Some(before) = self.unproven.replace(*skipped) {
                    self.lost_at.get_or_insert(before.offset);
                }
            }
        }
    }

    /// The survey came no further. Behind the end of a file there is nothing, and what does not begin as a CAR is
    /// none.
    fn end(&mut self, error: Error, payload_start: Option<u64>) {
        let (at, what) = (error.at(), error.to_string());
        let here = payload_start.zip(at).map(|(start, at)| SectionOffset(at.saturating_sub(start)));
        let lost_at = match &self.unproven {
            Some(before) => Some(before.offset),
            None if matches!(error, Error::Truncated { .. }) => None,
            None => here,
        };
        self.lost_at = self.lost_at.or(lost_at);
        match self.first {
            Some(_) => self.last = Some(what),
            None => self.first = Some((at, what)),
        }
    }

    fn fault(self) -> Option<Fault> {
        let (at, mut what) = self.first?;
        if self.skipped > 1 {
            what += &format!(", the first of {} sections that cannot be read", self.skipped);
        }
        if let Some(last) = self.last {
            what += &format!("; the end is {last}");
        }
        Some(Fault { at, what, hides_blocks: self.lost_at.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use cid::Cid;
    use multihash::Multihash;

    use super::*;

    fn cid(number: u8) -> Cid {
        Cid::new_v1(0x55, Multihash::wrap(0x12, &[number; 32]).expect("it fits"))
    }

    fn section(number: u8) -> Vec<u8> {
        [&[46][..], &cid(number).to_bytes(), &[number; 10]].concat()
    }

    /// A survey of a CARv1 made of these parts.
    fn survey_of(parts: &[&[u8]]) -> Survey {
        let mut file = tempfile::tempfile().expect("a file");
        let header = hoverboard_car::Writer::new(Vec::new(), &[]).expect("begun").finish().expect("finished");
        file.write_all(&[&[header.as_slice()], parts].concat().concat()).expect("written");
        let stamp = Stamp::of(&file).expect("there");
        survey(&file, stamp).expect("read")
    }

    const NAMELESS: &[u8] = &[5, 9, 9, 9, 9, 9];
    const LONG_DIGEST: [u8; 86] = {
        let mut section = [7; 86];
        (section[0], section[1], section[2], section[3], section[4]) = (85, 1, 0x55, 0, 81);
        section
    };

    #[test]
    fn one_section_that_cannot_be_read_hides_nothing() {
        for bad in [NAMELESS, &LONG_DIGEST, &[0; 300]] {
            for parts in [&[&section(1), bad, &section(2)][..], &[&section(1), &section(2), bad]] {
                let survey = survey_of(parts);
                assert_eq!(survey.builder.len(), 2);
                let fault = survey.summary.fault.expect("a fault");
                assert!(!fault.hides_blocks, "{fault:?}");
                assert!(!fault.what.contains("the first of"), "{fault:?}");
            }
        }
    }

    #[test]
    fn sections_known_to_be_unreadable_may_follow_each_other() {
        let survey = survey_of(&[&LONG_DIGEST, &LONG_DIGEST, NAMELESS, &LONG_DIGEST, &section(1)]);
        let fault = survey.summary.fault.expect("a fault");
        assert!(!fault.hides_blocks);
        assert!(fault.what.contains("the first of 4 sections"), "{fault:?}");
    }

    #[test]
    fn where_nothing_bears_out_the_length_of_a_section_the_place_is_lost() {
        let huge = [0xff, 0xff, 0x7f, 1];
        for bad in [&[NAMELESS, NAMELESS][..], &[NAMELESS, &[0, 0]], &[&[0], NAMELESS], &[NAMELESS, &huge]] {
            let survey = survey_of(&[&section(1), &bad.concat(), &section(2)]);
            let fault = survey.summary.fault.expect("a fault");
            assert!(fault.hides_blocks, "{bad:?}: {fault:?}");
            assert_eq!(survey.lost_at, Some(SectionOffset(18 + 47)), "{bad:?}");
        }
    }

    #[test]
    fn a_file_that_is_cut_short_hides_nothing() {
        let survey = survey_of(&[&section(1), &section(2)[..20]]);
        assert_eq!(survey.builder.len(), 1);
        assert!(!survey.summary.fault.expect("a fault").hides_blocks);
        assert_eq!(survey.lost_at, None);
    }
}
