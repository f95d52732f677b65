//! Chains of gateways (rule G3): which gateway may be behind which.
//!
//! What a gateway is behind is what it may ever connect to: the gateways of its assignment and the one that it is
//! approved for, both. A path that no node uses today may be used tomorrow, so that each counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::error::Error;
use crate::limits::GATEWAYS_IN_CHAIN_MAX;
use crate::name::Name;

/// Who is behind whom: of gateways alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chains {
    above: Links,
    below: Links,
}

type Links = BTreeMap<Name, BTreeSet<Name>>;

impl Chains {
    /// Puts one gateway behind another.
    pub(crate) fn put(&mut self, gateway: &Name, upstream: &Name) {
        self.above.entry(gateway.clone()).or_default().insert(upstream.clone());
        self.below.entry(upstream.clone()).or_default().insert(gateway.clone());
    }

    /// Whether a gateway that was put anew may be where it is.
    ///
    /// # Errors
    ///
    /// [`Code::ChainLoop`] names a shortest loop through it, [`Code::ChainTooLong`] a path through it that is too long.
    pub(crate) fn check(&self, gateway: &Name) -> Result<(), Error> {
        if let Some(round) = self.loop_through(gateway) {
            return Err(Error::new(Code::ChainLoop)
                .subject(gateway.as_str())
                .found(text(&round))
                .expected("gateways that lead to a management server"));
        }
        let mut path = longest(&self.below, gateway);
        path.reverse();
        path.pop();
        path.extend(longest(&self.above, gateway));
        if path.len() > GATEWAYS_IN_CHAIN_MAX {
            return Err(Error::new(Code::ChainTooLong)
                .subject(gateway.as_str())
                .found(text(&path))
                .expected(format!("at most {GATEWAYS_IN_CHAIN_MAX} gateways one behind the other")));
        }
        Ok(())
    }

    /// A shortest way from the gateway up and back to itself, both ends named.
    fn loop_through(&self, gateway: &Name) -> Option<Vec<Name>> {
        let mut came_from: BTreeMap<&Name, &Name> = BTreeMap::new();
        let mut layer = vec![gateway];
        while !layer.is_empty() {
            let mut next = Vec::new();
            for name in layer {
                for upstream in self.above.get(name).into_iter().flatten() {
                    if came_from.contains_key(upstream) {
                        continue;
                    }
                    came_from.insert(upstream, name);
                    next.push(upstream);
                }
            }
            if came_from.contains_key(gateway) {
                return Some(way_back(gateway, &came_from));
            }
            layer = next;
        }
        None
    }
}

/// The loop that the search closed, walked from its end.
fn way_back(gateway: &Name, came_from: &BTreeMap<&Name, &Name>) -> Vec<Name> {
    let mut way = vec![gateway.clone()];
    let mut at = gateway;
    while let Some(before) = came_from.get(at) {
        way.push((*before).clone());
        if *before == gateway {
            break;
        }
        at = before;
    }
    way.reverse();
    way
}

/// A longest path that begins at the gateway; one that is too long is cut where that shows, so that loops elsewhere,
/// which an older store may hold, end it too.
fn longest(links: &Links, gateway: &Name) -> Vec<Name> {
    let mut layers: Vec<BTreeMap<&Name, &Name>> = Vec::new();
    let mut layer: BTreeSet<&Name> = BTreeSet::from([gateway]);
    while layers.len() <= GATEWAYS_IN_CHAIN_MAX {
        let mut next: BTreeMap<&Name, &Name> = BTreeMap::new();
        for name in layer {
            for further in links.get(name).into_iter().flatten() {
                next.entry(further).or_insert(name);
            }
        }
        if next.is_empty() {
            break;
        }
        layer = next.keys().copied().collect();
        layers.push(next);
    }
    let mut path = Vec::new();
    let mut at = layers.last().and_then(|last| last.keys().next().copied());
    for layer in layers.iter().rev() {
        path.extend(at.cloned());
        at = at.and_then(|name| layer.get(name).copied());
    }
    path.push(gateway.clone());
    path.reverse();
    path
}

fn text(path: &[Name]) -> String {
    path.iter().map(Name::as_str).collect::<Vec<_>>().join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        Name::parse(&format!("g{number}")).unwrap()
    }

    fn chains(pairs: &[(usize, usize)]) -> Chains {
        let mut chains = Chains::default();
        pairs.iter().for_each(|(gateway, upstream)| chains.put(&name(*gateway), &name(*upstream)));
        chains
    }

    #[test]
    fn g3_a_loop_is_told_whole_from_the_gateway_back_to_it() {
        let error = chains(&[(1, 2), (2, 3), (3, 1), (3, 4)]).check(&name(1)).unwrap_err();
        assert_eq!((error.code(), error.found_text()), (Code::ChainLoop, "g1 → g2 → g3 → g1"));
        let error = chains(&[(1, 1)]).check(&name(1)).unwrap_err();
        assert_eq!((error.code(), error.found_text()), (Code::ChainLoop, "g1 → g1"));
    }

    #[test]
    fn g3_four_gateways_one_behind_the_other_are_the_most() {
        let four = [(1, 2), (2, 3), (3, 4)];
        (1..=4).for_each(|number| chains(&four).check(&name(number)).unwrap());
        for five in [[&four[..], &[(4, 5)]].concat(), [&four[..], &[(0, 1)]].concat()] {
            for number in 1..=4 {
                let error = chains(&five).check(&name(number)).unwrap_err();
                assert_eq!(error.code(), Code::ChainTooLong);
                assert_eq!(error.found_text().split(" → ").count(), 5, "{}", error.found_text());
            }
        }
    }

    #[test]
    fn g3_a_loop_that_an_old_store_holds_elsewhere_ends_every_search() {
        let chains = chains(&[(1, 2), (2, 1), (3, 4), (5, 1)]);
        chains.check(&name(3)).unwrap();
        assert_eq!(chains.check(&name(5)).unwrap_err().code(), Code::ChainTooLong);
    }

    /// Every graph of links between four gateways, put one after the other: what is taken never holds a loop, and what
    /// is refused would have made one.
    #[test]
    fn g3_whatever_is_put_in_any_order_no_loop_is_ever_taken_and_nothing_else_refused() {
        const COUNT: usize = 5;
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..3_000 {
            let mut taken: Vec<(usize, usize)> = Vec::new();
            for _ in 0..12 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let pair = ((random >> 8) as usize % COUNT, (random >> 24) as usize % COUNT);
                let proposed = [&taken[..], &[pair]].concat();
                let verdict = chains(&proposed).check(&name(pair.0)).map_err(|error| error.code());
                // From an independent look: the highest number of links of any walk, which a loop makes endless.
                let walk = longest_walk(&proposed, COUNT);
                match verdict {
                    Ok(()) => {
                        assert!(walk < GATEWAYS_IN_CHAIN_MAX, "{proposed:?}");
                        taken = proposed;
                    }
                    Err(Code::ChainLoop) => assert!(walk > COUNT, "{proposed:?}"),
                    Err(code) => assert!(code == Code::ChainTooLong && (4..=COUNT).contains(&walk), "{proposed:?}"),
                }
            }
        }
    }

    fn longest_walk(pairs: &[(usize, usize)], count: usize) -> usize {
        let mut ends: BTreeSet<usize> = (0..count).collect();
        (0..=count)
            .take_while(|_| {
                ends = pairs.iter().filter(|(from, _)| ends.contains(from)).map(|(_, to)| *to).collect();
                !ends.is_empty()
            })
            .count()
    }
}
