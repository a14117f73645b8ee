"""Who is before whom: by the moment of confirmation, moved forward a day for each friend who confirmed, ten at most.

The cap keeps the list honest: nobody buys the first place with a hundred invented friends.
"""

from datetime import datetime, timedelta
from typing import Final

DAY_FOR_A_FRIEND: Final = timedelta(days=1)
FRIENDS_THAT_COUNT: Final = 10


def rank_of(confirmed_at: datetime, friends: int) -> datetime:
    """The moment by which an entry is ordered; the earlier, the further in front.

    >>> from datetime import UTC
    >>> rank_of(datetime(2026, 11, 20, tzinfo=UTC), 3).day, rank_of(datetime(2026, 11, 20, tzinfo=UTC), 500).day
    (17, 10)
    """
    return confirmed_at - min(friends, FRIENDS_THAT_COUNT) * DAY_FOR_A_FRIEND
