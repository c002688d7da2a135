//! Every interleaving of the inbox and its wake flag:
//! `RUSTFLAGS="--cfg loom" cargo test -p epicycle-reactor --release --test inbox_loom`.
#![cfg(loom)]
#![expect(
    clippy::unwrap_used,
    reason = "what fails in a test is to fail the test"
)]

use epicycle_reactor::{Inbox, Ready};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// Stands for the kernel: sleeps until somebody wakes it. If nobody does, loom reports the deadlock.
#[derive(Default)]
struct Bed {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl Bed {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.bell.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// The loop's side of a turn: sleeps if the inbox lets it, then takes what is there.
fn turn(inbox: &Inbox<u32>, bed: &Bed, taken: &mut Vec<u32>) {
    if inbox.prepare_park() {
        bed.sleep();
    }
    inbox.unpark();
    let mut ready = Ready::new();
    inbox.drain_into(&mut ready);
    taken.extend(ready.drain_all());
}

fn producer(
    inbox: &Arc<Inbox<u32>>,
    bed: &Arc<Bed>,
    items: &'static [u32],
) -> thread::JoinHandle<()> {
    let (inbox, bed) = (Arc::clone(inbox), Arc::clone(bed));
    thread::spawn(move || {
        for item in items {
            if inbox.push(*item).unwrap() {
                bed.wake();
            }
        }
    })
}

#[test]
fn no_item_and_no_wake_up_is_lost() {
    loom::model(|| {
        let (inbox, bed) = (Arc::new(Inbox::new()), Arc::new(Bed::default()));
        let one = producer(&inbox, &bed, &[1]);
        let other = producer(&inbox, &bed, &[2]);
        let mut taken = Vec::new();
        while taken.len() < 2 {
            turn(&inbox, &bed, &mut taken);
        }
        one.join().unwrap();
        other.join().unwrap();
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        assert!(inbox.is_empty());
    });
}

#[test]
fn one_producers_items_stay_in_order() {
    loom::model(|| {
        let (inbox, bed) = (Arc::new(Inbox::new()), Arc::new(Bed::default()));
        let thread = producer(&inbox, &bed, &[1, 2, 3]);
        let mut taken = Vec::new();
        while taken.len() < 3 {
            turn(&inbox, &bed, &mut taken);
        }
        thread.join().unwrap();
        assert_eq!(taken, [1, 2, 3]);
    });
}

#[test]
fn a_wake_without_an_item_ends_the_sleep() {
    loom::model(|| {
        let (inbox, bed) = (Arc::new(Inbox::<u32>::new()), Arc::new(Bed::default()));
        let thread = {
            let (inbox, bed) = (Arc::clone(&inbox), Arc::clone(&bed));
            thread::spawn(move || {
                if inbox.request_wake() {
                    bed.wake();
                }
            })
        };
        // Whenever the wake-up comes, one turn ends: this one.
        turn(&inbox, &bed, &mut Vec::new());
        thread.join().unwrap();
    });
}

#[test]
fn what_a_closed_inbox_refuses_goes_back_to_its_producer() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        let thread = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || inbox.push(1).is_err())
        };
        let left = inbox.close();
        let refused = thread.join().unwrap();
        assert_eq!(
            left.len() + usize::from(refused),
            1,
            "the item is in one place"
        );
        assert!(inbox.is_empty());
    });
}
