//! The switch of named defects that are chosen for a thread, where an engine has many rooms and no value goes through all of
//! them. In a build without tests the questions compile to `false`.

/// The functions `is` and `choose` (with this visibility, in tests alone) for a type `Mutant` of the same module.
macro_rules! chosen_for_a_thread {
    ($choose:vis) => {
        #[cfg(test)]
        thread_local! {
            static CHOSEN: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
        }

        /// Whether that defect is wanted.
        #[cfg(test)]
        pub(super) fn is(mutant: Mutant) -> bool {
            CHOSEN.get() == Some(mutant)
        }

        /// Whether that defect is wanted: never.
        #[cfg(not(test))]
        #[inline(always)]
        pub(super) fn is(_mutant: Mutant) -> bool {
            false
        }

        /// Chooses a defect for this thread, or none.
        #[cfg(test)]
        $choose fn choose(mutant: Option<Mutant>) {
            CHOSEN.set(mutant);
        }
    };
}

pub(super) use chosen_for_a_thread;
