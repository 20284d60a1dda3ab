//! From cuts to lines: three comparisons, and the eight places that they lead to, are one line.

use firewall_common::policy::line::{LEAF, Line, MAX_LINES};

use super::grow::{Cut, Next};
use crate::policy::compile::CompileError;

/// Sets a bit of a record of lines.
pub(in crate::policy::compile) fn set_bit(lines: &mut [Line], bit: u32) {
    let line = lines.get_mut(bit as usize / 512);
    let half = line.and_then(|line| line.halves.get_mut(bit as usize / 256 % 2));
    if let Some(word) = half.and_then(|half| half.get_mut(bit as usize / 32 % 8)) {
        *word |= 1 << (bit % 32);
    }
}

/// Lines as they grow.
#[derive(Debug)]
pub(in crate::policy::compile) struct Packer {
    pub(in crate::policy::compile) lines: Vec<Line>,
    /// Most lines there may be.
    most: usize,
    /// Lines on the longest way so far.
    pub(in crate::policy::compile) deepest: u32,
}

/// Writes a leaf, given its number, and says how to refer to it.
pub(in crate::policy::compile) type WriteLeaf<'w> =
    &'w mut dyn FnMut(&mut Packer, u32) -> Result<u32, CompileError>;

impl Packer {
    /// Goes on behind the lines that there are.
    pub(in crate::policy::compile) const fn new(lines: Vec<Line>, most: usize) -> Self {
        Self {
            lines,
            most,
            deepest: 0,
        }
    }

    /// Packs a tree; how to refer to it.
    ///
    /// # Errors
    /// It is too deep, or there are too many lines.
    pub(in crate::policy::compile) fn pack(
        &mut self,
        cuts: &[Cut],
        root: Next,
        leaf: WriteLeaf<'_>,
    ) -> Result<u32, CompileError> {
        self.at(cuts, root, leaf, 0)
    }

    fn at(
        &mut self,
        cuts: &[Cut],
        next: Next,
        leaf: WriteLeaf<'_>,
        depth: u32,
    ) -> Result<u32, CompileError> {
        let root = match next {
            Next::Leaf(number) => return leaf(self, number),
            Next::Cut(_) => next,
        };
        self.deepest = self.deepest.max(depth + 1);
        if depth == MAX_LINES {
            return Err(too_deep());
        }
        let place = self.line()?;
        let (tests, ends) = three(cuts, root);
        let mut children = [LEAF; 8];
        let mut known: Vec<(Next, u32)> = Vec::new();
        for (child, end) in children.iter_mut().zip(ends) {
            let met = known.iter().find(|(other, _)| *other == end);
            let packed = match met {
                Some((_, packed)) => *packed,
                None => self.at(cuts, end, leaf, depth + 1)?,
            };
            known.push((end, packed));
            *child = packed;
        }
        if let Some(line) = self.lines.get_mut(place as usize) {
            line.halves = [tests, children];
        }
        Ok(place)
    }

    /// A new line.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(in crate::policy::compile) fn line(&mut self) -> Result<u32, CompileError> {
        if self.lines.len() >= self.most {
            return Err(too_large(self.most));
        }
        self.lines.push(Line::default());
        Ok(self.lines.len() as u32 - 1)
    }
}

/// The comparisons of three levels, and what they lead to. Behind a leaf both sides are that leaf.
fn three(cuts: &[Cut], root: Next) -> ([u32; 8], [Next; 8]) {
    let mut tests = [0; 8];
    let mut level = vec![root];
    let mut test = 0;
    for _ in 0..3 {
        let mut below = Vec::with_capacity(8);
        for next in level {
            let cut = match next {
                Next::Cut(number) => cuts.get(number as usize).copied(),
                Next::Leaf(_) => None,
            };
            let cut = cut.unwrap_or(Cut {
                dim: 0,
                value: 0,
                below: next,
                above: next,
            });
            tests[0] |= u32::from(cut.dim & 15) << (4 * test);
            tests[test + 1] = cut.value;
            test += 1;
            below.extend([cut.below, cut.above]);
        }
        level = below;
    }
    let mut ends = [Next::Leaf(0); 8];
    for (end, next) in ends.iter_mut().zip(level) {
        *end = next;
    }
    (tests, ends)
}

fn too_deep() -> CompileError {
    let message = format!(
        "the rules overlap so that a look-up would take more than {} steps",
        MAX_LINES * 3
    );
    let help = "split the policy by zones, or join rules that differ only in their addresses";
    CompileError::new(message, help)
}

fn too_large(most: usize) -> CompileError {
    let message = format!(
        "the rules overlap so much that their tables would need more than {} MiB",
        most / 16_384
    );
    let help =
        "join rules that differ only in their addresses or services, or split the policy by zones";
    CompileError::new(message, help)
}
