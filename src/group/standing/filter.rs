//! Which nodes somebody wants to see.

use serde::{Deserialize, Serialize};

use crate::group::standing::{NodeStanding, NodeState};
use crate::name::Name;
use crate::role::Role;

/// Which nodes of an overview; what is left empty takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NodeFilter {
    /// Of these roles.
    pub roles: Vec<Role>,
    /// In these states.
    pub states: Vec<NodeState>,
    /// This gateway, and who is or was behind it.
    pub gateway: Option<Name>,
    /// This management server, and who is or was at it.
    pub server: Option<Name>,
    /// Whose name fits: `*` stands for any letters, `?` for one.
    pub name: Option<String>,
}

impl NodeFilter {
    /// Whether a node is one of those.
    pub fn takes(&self, node: &NodeStanding) -> bool {
        let is_or_has = |wanted: &Option<Name>, own: bool, path: &[Name]| {
            wanted.as_ref().is_none_or(|name| (own && node.name == *name) || path.contains(name))
        };
        (self.roles.is_empty() || self.roles.contains(&node.role))
            && (self.states.is_empty() || self.states.contains(&node.state))
            && is_or_has(&self.gateway, node.role == Role::Gateway, &node.via)
            && is_or_has(&self.server, node.role == Role::ManagementServer, node.server.as_slice())
            && self.name.as_ref().is_none_or(|pattern| fits(&pattern.to_ascii_lowercase(), node.name.as_str()))
    }
}

/// Without backtracking more than to the last `*`: a pattern costs at most its length times the name's.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(letter) if *letter == b'?' || Some(letter) == name.get(position) => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, position) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern.get(at..).is_none_or(|rest| rest.iter().all(|letter| *letter == b'*'))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, expected) in [
            ("*", "pc7.branch.example", true),
            ("pc7.branch.example", "pc7.branch.example", true),
            ("pc?.*", "pc7.branch.example", true),
            ("pc*.example", "pc7.branch.example", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaa", false),
            ("pc7", "pc7.branch.example", false),
            ("c7*", "pc7.branch.example", false),
            ("pc??.*", "pc7.branch.example", false),
            ("", "pc7", false),
            ("pc7**", "pc7", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
