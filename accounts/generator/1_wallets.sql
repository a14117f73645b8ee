-- Everybody the ledger's generated calls name: an account each, and the wallet of those who pay on chain.

INSERT INTO accounts_account (id, label, created_at) SELECT account_id, '', g.started_at FROM generation g, payer
UNION ALL SELECT account_id, '', g.started_at FROM generation g, prepaid;
INSERT INTO accounts_wallet (family, address, account_id, created_at) SELECT 'eip155', wallet, account_id, g.started_at FROM generation g, payer;
