-- Takes away what opens the lane's streams ahead; the streams stay, and so does waiting for one that is taken.
DROP FUNCTION billing.grant_inline_lane_to, billing.open_inline_streams;
