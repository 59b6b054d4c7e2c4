//! The tables of `bench/README.md`: each lies between two marks and is replaced as a whole.

use std::fs;

use anyhow::{Context, Result};

use crate::shell::root;

const README: &str = "bench/README.md";

/// Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->`.
pub(crate) fn write(name: &str, table: &str) -> Result<()> {
    let path = root().join(README);
    let text = fs::read_to_string(&path)?;
    let text = replace(&text, name, table).with_context(|| format!("{README} has no marks for {name}"))?;
    fs::write(&path, text)?;
    println!("{table}\nwritten to {README}");
    Ok(())
}

fn replace(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let from = text.find(&begin)? + begin.len();
    let to = from + text[from..].find(&end)?;
    Some(format!("{}\n{}\n\n{}", &text[..from], table.trim(), &text[to..]))
}

/// The middle of some figures; of an even number, the higher middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n";
        assert_eq!(replace(text, "t", "new\n").as_deref(), Some("a\n<!-- t -->\n\nnew\n\n<!-- /t -->\nb\n"));
        assert_eq!(replace(text, "u", "new"), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
    }
}
