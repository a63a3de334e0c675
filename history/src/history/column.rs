//! Columns that most histories have little of: what has no independent keys takes no memory for them.

/// A number that stands for nothing.
pub(super) trait Missing: Copy + PartialEq {
    /// It.
    const MISSING: Self;
}

impl Missing for u32 {
    const MISSING: u32 = u32::MAX;
}

impl Missing for u16 {
    const MISSING: u16 = u16::MAX;
}

/// A column of numbers, kept up to the last event that has one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Column<T> {
    items: Vec<T>,
}

impl<T: Missing> Column<T> {
    /// That of an event, or [`Missing::MISSING`].
    #[inline]
    pub(super) fn get(&self, place: usize) -> T {
        self.items.get(place).copied().unwrap_or(T::MISSING)
    }

    /// Adds that of an event after all those that were added.
    #[inline]
    pub(super) fn push_at(&mut self, place: usize, item: T) {
        if item == T::MISSING {
            return;
        }
        if self.items.len() < place {
            self.items.resize(place, T::MISSING);
        }
        self.items.push(item);
    }

    /// That of the last event that has one.
    pub(super) fn last(&self) -> T {
        self.items.last().copied().unwrap_or(T::MISSING)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.items.len() * size_of::<T>()
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.items.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_at_the_end_takes_nothing() {
        let mut column: Column<u16> = Column::default();
        let all = [None, None, Some(7), None, Some(8), None, None].map(|item| item.unwrap_or(u16::MISSING));
        for (place, &item) in all.iter().enumerate() {
            column.push_at(place, item);
        }
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 100].map(|place| column.get(place)), {
            [u16::MISSING, u16::MISSING, 7, u16::MISSING, 8, u16::MISSING, u16::MISSING, u16::MISSING]
        });
        assert_eq!((column.memory_bytes(), column.last()), (10, 8));
        assert_eq!(Column::<u32>::default().last(), u32::MISSING);
    }
}
