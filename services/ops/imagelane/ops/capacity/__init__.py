"""`imagelane capacity`: what so many images a day need, by a small model and measured constants."""
