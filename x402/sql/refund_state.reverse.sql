DROP TRIGGER x402_refund_no_truncate ON x402_refund;
DROP TRIGGER x402_guard_refund ON x402_refund;
DROP FUNCTION x402_guard_refund();
