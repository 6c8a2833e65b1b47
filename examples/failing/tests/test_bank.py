from bank import Account


def test_a_deposit_raises_the_balance():
    account = Account()
    account.deposit(100)
    assert account.balance == 100


def test_interest_is_rounded_to_whole_cents():
    account = Account(balance=1999)
    account.add_interest(percent=5)
    assert account.balance == 2099
