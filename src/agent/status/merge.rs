//! Making one page of metrics out of several, piece by piece: a page may have tens of megabytes, and the agent has a few.

/// The longest line that is passed on. Longer ones are no metrics.
const LONGEST_LINE: usize = 64 * 1024;
/// What Envoy puts before the names of the mesh's own metrics.
const ENVOY: &[u8] = b"envoy_";
/// What those names begin with.
const STANDARD: &[u8] = b"istio_";

/// One page on its way into the merged one. Lines are passed on whole, so that a page that breaks off does no harm.
#[derive(Debug)]
pub(super) struct Page {
    renames: bool,
    rest: Vec<u8>,
}

// === impl Page ===

impl Page {
    /// Envoy's page: `envoy_istio_…` becomes `istio_…`, the names that the mesh's users know.
    pub(super) fn of_envoy() -> Self {
        Self { renames: true, rest: Vec::new() }
    }

    /// A page whose names stay.
    pub(super) fn of_others() -> Self {
        Self { renames: false, rest: Vec::new() }
    }

    /// Takes the next piece and gives back the lines that are complete. `None` when the text can't be a page of metrics.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        let mut lines = Vec::with_capacity(piece.len() + self.rest.len());
        let mut piece = piece;
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, after) = piece.split_at(end + 1);
            piece = after;
            if self.rest.is_empty() {
                self.line(line, &mut lines);
            } else {
                self.rest.extend_from_slice(line);
                let whole = std::mem::take(&mut self.rest);
                self.line(&whole, &mut lines);
            }
        }
        self.rest.extend_from_slice(piece);
        (self.rest.len() <= LONGEST_LINE).then_some(lines)
    }

    /// The last line, if it had no end; not to be asked of a page that broke off.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        if !self.rest.is_empty() {
            self.rest.push(b'\n');
            let whole = std::mem::take(&mut self.rest);
            self.line(&whole, &mut lines);
        }
        lines
    }

    fn line(&self, line: &[u8], out: &mut Vec<u8>) {
        // OpenMetrics ends so; the merged page goes on.
        if line.starts_with(b"# EOF") {
            return;
        }
        if self.renames {
            for head in [&b""[..], b"# TYPE ", b"# HELP "] {
                let renamed = line.strip_prefix(head).and_then(|rest| rest.strip_prefix(ENVOY)).filter(|rest| rest.starts_with(STANDARD));
                if let Some(renamed) = renamed {
                    out.extend_from_slice(head);
                    out.extend_from_slice(renamed);
                    return;
                }
            }
        }
        out.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVOYS: &str = "# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{a=\"envoy_istio_x\"} 3\n\
                          # TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n";

    #[test]
    fn the_meshs_metrics_lose_envoys_prefix_wherever_a_piece_ends() {
        let expected = ENVOYS.replace("TYPE envoy_istio", "TYPE istio").replace("\nenvoy_istio", "\nistio");
        for size in 1..ENVOYS.len() {
            let mut page = Page::of_envoy();
            let mut out: Vec<u8> = ENVOYS.as_bytes().chunks(size).flat_map(|piece| page.feed(piece).unwrap()).collect();
            out.extend(page.finish());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn other_pages_keep_their_names_and_lose_their_end() {
        let mut page = Page::of_others();
        let mut out = page.feed(b"envoy_istio_x 1\n# EOF\nlast 2").unwrap();
        out.extend(page.finish());
        assert_eq!(String::from_utf8(out).unwrap(), "envoy_istio_x 1\nlast 2\n");
    }

    #[test]
    fn a_line_without_end_is_no_metric() {
        let mut page = Page::of_others();
        assert!(page.feed(&[b'x'; LONGEST_LINE]).is_some());
        assert!(page.feed(b"x").is_none());
    }
}
