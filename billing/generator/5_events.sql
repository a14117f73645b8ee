-- The outbox as relaying these books would have left it: an event for each note that was issued within the time events
-- are kept, all of them addressed, and a cursor at the end of every stream.

INSERT INTO billing_outboxevent (id, type, key, payload, correlation_id, created_at, addressed_at)
SELECT 'evt_' || substr(n.journal_id, 5), 'credit_note.issued', 'issued:' || n.id,
       jsonb_build_object('credit_note_id', n.id, 'kind', n.kind, 'wallet', n.wallet, 'denomination', n.denomination, 'amount', n.amount::text,
                          'expires_at', n.expires_at, 'source', n.source),
       '', n.issued_at, n.issued_at
FROM billing.credit_note n WHERE n.issued_at > clock_timestamp() - interval '30 days' ORDER BY n.number;

INSERT INTO billing_outboxcursor (stream, sequence) SELECT s.id, s.sequence FROM billing.stream s
ON CONFLICT (stream) DO UPDATE SET sequence = EXCLUDED.sequence;
