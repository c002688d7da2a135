//! The registry as maps: who is alive, under which token, and who holds a number last.

use std::collections::HashMap;

use epicycle_reactor::{Interest, Registry, Token};

/// So many descriptors, used again and again.
const DESCRIPTORS: i32 = 12;
const INTERESTS: [Interest; 4] = [
    Interest::NONE,
    Interest::READ,
    Interest::WRITE,
    Interest::BOTH,
];

/// What is done to the registry.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Step {
    /// A source for one of a few descriptors.
    Insert(u8),
    /// That of a token, by its place among all ever given out.
    Remove(usize),
    /// That of a token, to one of the four.
    SetInterest(usize, u8),
}

/// Does the steps to the registry and to the maps.
///
/// # Panics
/// Where they differ.
pub fn run(steps: &[Step]) {
    let mut registry = Registry::new();
    let mut alive: HashMap<Token, (i32, usize, Interest)> = HashMap::new();
    let mut newest: HashMap<i32, Token> = HashMap::new();
    let mut tokens: Vec<Token> = Vec::new();
    for (name, step) in steps.iter().enumerate() {
        match *step {
            Step::Insert(fd) => {
                let fd = i32::from(fd) % DESCRIPTORS;
                let expected = registry.next_token();
                let token = registry.insert(fd, name);
                assert_eq!(token, expected);
                assert!(!tokens.contains(&token), "a token is given out once");
                tokens.push(token);
                alive.insert(token, (fd, name, Interest::NONE));
                newest.insert(fd, token);
            }
            Step::Remove(place) if !tokens.is_empty() => {
                let token = tokens[place % tokens.len()];
                let expected = alive.remove(&token).map(|(fd, name, _)| (fd, name));
                assert_eq!(registry.remove(token), expected);
                if let Some((fd, _)) = expected
                    && newest.get(&fd) == Some(&token)
                {
                    newest.remove(&fd);
                }
            }
            Step::SetInterest(place, interest) if !tokens.is_empty() => {
                let token = tokens[place % tokens.len()];
                let interest = INTERESTS[usize::from(interest) % INTERESTS.len()];
                assert_eq!(
                    registry.set_interest(token, interest),
                    alive.contains_key(&token)
                );
                if let Some(entry) = alive.get_mut(&token) {
                    entry.2 = interest;
                }
            }
            _ => {}
        }
        for token in &tokens {
            let expected = alive.get(token);
            assert_eq!(registry.get(*token), expected.map(|(_, name, _)| name));
            assert_eq!(registry.fd(*token), expected.map(|(fd, ..)| *fd));
            assert_eq!(
                registry.interest(*token),
                expected.map(|(.., interest)| *interest)
            );
        }
        for fd in 0..DESCRIPTORS {
            assert_eq!(registry.token_of(fd), newest.get(&fd).copied());
        }
        assert_eq!(
            (registry.len(), registry.iter().count()),
            (alive.len(), alive.len())
        );
    }
}
