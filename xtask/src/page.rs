//! Pages of which a part is generated.

use std::fs;

use crate::Result;

/// A part of a page, between two lines of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// The page's path.
    pub(crate) page: &'static str,
    /// The line before the part.
    pub(crate) begin: &'static str,
    /// The line after it.
    pub(crate) end: &'static str,
}

impl Part {
    /// Puts a text into the page; with `check` it fails instead if the page would change. Returns
    /// whether the page changed.
    pub(crate) fn write(self, text: &str, check: bool) -> Result<bool> {
        let page = fs::read_to_string(self.page)?;
        let fresh = self.replaced(&page, text)?;
        if page == fresh {
            return Ok(false);
        }
        if check {
            return Err(format!("{} is out of date: run `cargo xtask docs`", self.page).into());
        }
        fs::write(self.page, fresh)?;
        Ok(true)
    }

    /// The page with another text in this part.
    fn replaced(self, page: &str, text: &str) -> Result<String> {
        let Self { begin, end, .. } = self;
        let parts = page.split_once(begin).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(end)?;
            Some((before, after))
        });
        let (before, after) =
            parts.ok_or_else(|| format!("{} lacks the line {begin}", self.page))?;
        Ok(format!("{before}{begin}\n{text}\n{end}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_the_markers_is_replaced() {
        let part = Part {
            page: "page.md",
            begin: "<!-- a: begin -->",
            end: "<!-- a: end -->",
        };
        let page = "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n";
        let fresh = part.replaced(page, "new").unwrap();
        assert_eq!(
            fresh,
            "before\n<!-- a: begin -->\nnew\n<!-- a: end -->\nafter\n"
        );
        assert_eq!(part.replaced(&fresh, "new").unwrap(), fresh);
        let error = part.replaced("no markers", "new").unwrap_err().to_string();
        assert!(error.contains("page.md"), "{error}");
    }
}
