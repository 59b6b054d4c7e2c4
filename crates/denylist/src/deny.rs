//! `.deny` files: the compact denylist format of IPIP-383. A YAML header up to a line `---`, then a rule a line, comments,
//! empty lines.
//!
//! Of the header only `version` is read. Hints are passed over: none says anything about blocks.

use crate::rule::{LineError, Rule};
use crate::rules::{ListError, Rules};

/// A header ends within so many bytes, or there is none.
const MAX_HEADER: usize = 1 << 20;
/// A line has at most so many bytes, with its end.
const MAX_LINE: usize = 2 << 20;

/// Adds the rules of a file.
pub(crate) fn read(file: &[u8], rules: &mut Rules) -> Result<(), ListError> {
    let (header, body) = split(file);
    check_version(header)?;
    let first = 1 + header.split_inclusive(|byte| *byte == b'\n').count() as u64 + u64::from(body.len() < file.len());
    for (line, number) in body.split_inclusive(|byte| *byte == b'\n').zip(first..) {
        if line.len() > MAX_LINE {
            return Err(ListError::Line(number));
        }
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let rule = std::str::from_utf8(line).map_err(|_| LineError::Text).and_then(str::parse::<Rule>);
        match rule {
            Ok(rule) => rules.push(&rule)?,
            Err(why) => rules.malformed(number, why),
        }
    }
    Ok(())
}

/// The header without its end, and what follows.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    for line in file[..file.len().min(MAX_HEADER)].split_inclusive(|byte| *byte == b'\n') {
        let start = end;
        end += line.len();
        if line.trim_ascii_end() == b"---" {
            return (&file[..start], &file[end..]);
        }
    }
    (&[], file)
}

fn check_version(header: &[u8]) -> Result<(), ListError> {
    let lines = header.split(|byte| *byte == b'\n');
    let Some(version) = lines.filter_map(|line| line.strip_prefix(b"version:")).next() else { return Ok(()) };
    let text = String::from_utf8_lossy(version.get(..64.min(version.len())).unwrap_or_default());
    let value = text.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    if value == "1" { Ok(()) } else { Err(ListError::Version(value.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Counts, Problem};

    fn counts(file: &str) -> Counts {
        let mut rules = Rules::new();
        rules.read(file.as_bytes()).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        rules.counts()
    }

    const BLOCK: &str = "/ipfs/QmZgTpJUbrss357x1D14Uo43JATwd7LhkZNbreqXVGFMmD";

    #[test]
    fn a_header_comments_and_empty_lines_are_no_rules() {
        let one = Counts { modern: 1, ..Counts::default() };
        for file in [
            BLOCK.to_owned(),
            format!("{BLOCK}\n"),
            format!("\r\n{BLOCK} hint:value\r\n\r\n"),
            format!("# comment\n\n  # indented\n{BLOCK}"),
            format!("version: 1\nname: x\nhints:\n  a: b\n---\n{BLOCK}\n"),
            format!("name: no version\n---\n{BLOCK}\n"),
            format!("version: \"1\" # the first\r\n---\r\n{BLOCK}\n"),
            format!("---\n{BLOCK}\n"),
        ] {
            assert_eq!(counts(&file), one, "{file:?}");
        }
        assert_eq!(counts("# nothing is denied\n"), Counts::default());
    }

    #[test]
    fn what_cannot_be_enforced_is_counted() {
        let file =
            format!("{BLOCK}/a\n!{BLOCK}/b*\n{BLOCK}/*\n/ipns/x\n//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX");
        assert_eq!(counts(&file), Counts { modern: 1, paths: 3, names: 1, unsupported: 1, ..Counts::default() });
    }

    #[test]
    fn a_line_that_is_no_rule_is_named_and_the_others_count() {
        let mut rules = Rules::new();
        let file = format!("version: 1\n---\n{BLOCK}\nnonsense\n{BLOCK}\n\u{e9}\n");
        rules.read(file.as_bytes()).expect("a list");
        let problems: Vec<u64> = rules.problems().iter().map(|problem| problem.line).collect();
        assert_eq!((rules.counts().modern, rules.counts().malformed), (2, 2));
        assert_eq!(problems, [4, 6]);
    }

    #[test]
    fn what_is_something_else_is_no_list() {
        let page = "<html>\n<body>502</body>\n</html>\n";
        let first = Problem { line: 1, why: LineError::Form };
        let error = ListError::NotAList { malformed: 3, rules: 0, first };
        assert_eq!(Rules::new().read(page.as_bytes()), Err(error));
        assert_eq!(Rules::new().read(b" \n"), Err(ListError::Empty));
        let version = "version: 2\n---\n";
        assert_eq!(Rules::new().read(version.as_bytes()), Err(ListError::Version("2".into())));
    }

    #[test]
    fn a_line_may_have_two_mebibytes_with_its_end() {
        let line = |len: usize| [b"#".repeat(len - 1), b"\n".to_vec()].concat();
        assert_eq!(Rules::new().read(&line(MAX_LINE)), Ok(()));
        assert_eq!(Rules::new().read(&line(MAX_LINE + 1)), Err(ListError::Line(1)));
    }

    #[test]
    fn a_header_that_does_not_end_in_its_room_is_none() {
        let file =
            format!("version: 7\n{}\n---\n# end\n{}", "# x\n".repeat(MAX_HEADER / 4), format!("{BLOCK}\n").repeat(3));
        let mut rules = Rules::new();
        assert_eq!(rules.read(file.as_bytes()), Ok(()));
        assert_eq!((rules.counts().modern, rules.counts().malformed), (3, 2));
    }
}
