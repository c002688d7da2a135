//! The registry against a map: a token finds its own source or nobody, for as long as it lives.
#![cfg(not(loom))]

use std::collections::HashMap;

use epicycle_reactor::{Interest, Registry, Token};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(i32),
    Remove(prop::sample::Index),
    SetInterest(prop::sample::Index, Interest),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let interest = prop::sample::select(vec![
        Interest::NONE,
        Interest::READ,
        Interest::WRITE,
        Interest::BOTH,
    ]);
    let step = prop_oneof![
        3 => (0..12_i32).prop_map(Step::Insert),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => (any::<prop::sample::Index>(), interest).prop_map(|(index, interest)| Step::SetInterest(index, interest)),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn a_token_finds_its_own_source_or_nobody(steps in steps()) {
        let mut registry = Registry::new();
        let mut alive: HashMap<Token, (i32, usize, Interest)> = HashMap::new();
        let mut newest: HashMap<i32, Token> = HashMap::new();
        let mut tokens: Vec<Token> = Vec::new();
        for (name, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(fd) => {
                    let expected = registry.next_token();
                    let token = registry.insert(fd, name);
                    prop_assert_eq!(token, expected);
                    prop_assert!(!tokens.contains(&token), "a token is given out once");
                    tokens.push(token);
                    alive.insert(token, (fd, name, Interest::NONE));
                    newest.insert(fd, token);
                }
                Step::Remove(index) if !tokens.is_empty() => {
                    let token = tokens[index.index(tokens.len())];
                    let expected = alive.remove(&token).map(|(fd, name, _)| (fd, name));
                    prop_assert_eq!(registry.remove(token), expected);
                    if let Some((fd, _)) = expected && newest.get(&fd) == Some(&token) {
                        newest.remove(&fd);
                    }
                }
                Step::SetInterest(index, interest) if !tokens.is_empty() => {
                    let token = tokens[index.index(tokens.len())];
                    prop_assert_eq!(registry.set_interest(token, interest), alive.contains_key(&token));
                    if let Some(entry) = alive.get_mut(&token) {
                        entry.2 = interest;
                    }
                }
                _ => {}
            }
            for token in &tokens {
                let expected = alive.get(token);
                prop_assert_eq!(registry.get(*token), expected.map(|(_, name, _)| name));
                prop_assert_eq!(registry.fd(*token), expected.map(|(fd, ..)| *fd));
                prop_assert_eq!(registry.interest(*token), expected.map(|(.., interest)| *interest));
            }
            for fd in 0..12 {
                prop_assert_eq!(registry.token_of(fd), newest.get(&fd).copied());
            }
            prop_assert_eq!((registry.len(), registry.iter().count()), (alive.len(), alive.len()));
        }
    }
}
