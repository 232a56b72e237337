//! Which of several moves is the one that mends something: found with few attempts.

/// The search for the shortest beginning of a list of moves that mends what is broken. Its last move is the decisive one.
///
/// It asks about longer and longer beginnings first, because the likely moves come first, and then halves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    moves: usize,
    /// So many moves do not mend it.
    too_few: usize,
    /// So many do.
    enough: Option<usize>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Try so many moves.
    Try(usize),
    /// The move of that place is decisive.
    Found(usize),
    /// All moves together do not mend it.
    Hopeless,
}

// === impl Search ===

impl Search {
    /// A search among so many moves.
    pub(super) fn among(moves: usize) -> Self {
        Self { moves, too_few: 0, enough: None }
    }

    pub(super) fn step(&self) -> Step {
        match self.enough {
            Some(enough) if enough == self.too_few + 1 => Step::Found(enough - 1),
            Some(enough) => Step::Try((enough + self.too_few) / 2),
            None if self.too_few == self.moves => Step::Hopeless,
            None => Step::Try((2 * self.too_few).clamp(1, self.moves)),
        }
    }

    /// So many moves were tried.
    pub(super) fn tell(&mut self, moves: usize, mended: bool) {
        match mended {
            true => self.enough = Some(moves),
            false => self.too_few = moves,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decisive_move_is_found_with_few_attempts() {
        for moves in 0..70 {
            for decisive in 0..=moves {
                let (mut search, mut attempts) = (Search::among(moves), 0);
                let end = loop {
                    match search.step() {
                        Step::Try(count) => {
                            attempts += 1;
                            assert!(count > 0 && count <= moves);
                            search.tell(count, count > decisive);
                        }
                        end => break end,
                    }
                };
                assert_eq!(end, if decisive < moves { Step::Found(decisive) } else { Step::Hopeless });
                assert!(attempts <= 14, "{attempts} attempts for {decisive} of {moves}");
                assert!(decisive > 0 || attempts <= 1, "the first move is the likely one");
            }
        }
    }
}
