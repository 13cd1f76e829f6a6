"""Capitalised words that are no names, for the rules that look for names.

`COMMON_WORDS` can be given names or surnames too (Mark, Will, Page) and then need better evidence; `NO_SURNAMES`
never end a name (Taylor Series, Monte Carlo, Virginia Beach).
"""

COMMON_WORDS = frozenset(
    """
    A Ab Abs Ace Add Age Ago Air All Alpha Also Am Amber Among An And Angel Any April Are Area Arm Art As Ash Asia At
    August Author Autumn Back Bad Bag Ball Bank Bar Bare Barman Base Bay Bayes Be Bean Bear Begin Bell Bessel Best
    Beta Big Bill Bird Bit Bite Black Blank Block Blocks Bloom Blue Bob Body Bold Bonjour Book Boot Both Bow Box
    Branch Bright Brown Buck Bud Bush But By Cal Call Can Car Card Care Carolina Carry Case Cases Cash Cassandra Cast
    Category Ceil Chain Chance Change Char Charity Chase Check China Christian City Clear Click Close Coin Cole Colon
    Comment Con Conn Constant Contact Cook Copy Coral Corner Could Country Cross Crystal Cube Dale Dan Das Dash Data
    Date Dawn Day De Dear Deb December Deep Def Del Delta Der Deutsch Dev Diamond Did Die Dim Divine Do Doc Does Dom
    Don Dot Down Dr Drew Duke Dusty Each Early East Easter Echo Ed Edge Edit Ein Eine El Elif Else Emit En End English
    Euler Eve Even Ever Every Ex Fair Faith Fall False Fancy Far Feb February Feed Fibonacci Field Fields File Finn
    Fire First Flask Flat Floor Flora Florida Flow Fly Fo For Forest Forget Fort Found Fourier France Frank French
    Fresh Friday Friend From Für Gauss Gaussian Gene General Genesis Georgia German Get Go Gold Golden Good Grace
    Grand Grant Gray Great Green Greet Grey Guard Guide Gun Guy Had Hall Hallo Hamilton Hand Handler Handy Happy Hardy
    Harmony Harper Has Have He Heart Heath Heaven Held Hello Help Hence Her Here Hi High Hilbert Hill His Hook Hope
    House How Huffman Hunt Hunter I Ich If Ihr Ihre Image In Incremental India Info Int Into Iris Is It Ivory Ivy Jack
    Jacobi Jade Jan January Java Jenkins Job Jolly Jordan Journey Joy Jul Julia July Jump Jun June Junk Just Kalman
    Key Kind King La Lagrange Lake Lance Land Lane Lang Laplace Large Las Last Le Lee Left Len Les Less Let Level
    Levenshtein Liberty Lie Lies Light Lily Line Link List Little Lo Load London Lone Long Look Los Lot Love Low Loyal
    Luck Made Mail Main Major Make Mal Male Man Mandatory Many Map Mar March Mark Markov Marks Marshal Mason Master
    Math Max May Mean Media Merci Mercy Meta Min Mine Mini Minor Miss Mit Mo Mode Model Monday Month More Most Mr Mrs
    Ms Much Must My Name Nan Nanny Near New News Newton Next Nick Night No Noble Non None North Not Note Nov November
    Now Null Number October Odd Of Off Oh Ok Old Olive On One Only Open Or Oracle Order Org Oscar Other Our Out Over
    Owner Page Pages Pair Para Parent Pareto Paris Park Part Parts Pascal Pass Pat Path Patience Peace Pearl Penny Per
    Perl Pi Pierce Pip Place Plan Please Point Poisson Poll Pop Por Porter Post Power Press Price Prince Print Prior
    Private Pro Prof Public Pure Put Python Queen Quick Rain Ran Range Raphson Raw Ray Read Reader Real Reason Red
    Reed Rest Return Returns Rich Right Ring Rip River Road Rob Robin Rock Roman Root Rosa Rose Round Row Ruby Rule
    Run Rust Sad Sage Said Saint Sainte Sample San Sankt Sans Santa Santo Sat Saturday Save Say Sea See Send Sep
    September Series Server Set Seven She Short Should Sie Sign Silver Simple Sin Sine Single Singleton Sir Six Skip
    Sky Slim Small Smart So Soft Sole Some Son Song Soon Sort South Spring Stack Star Start State Stern Stone Stop
    Storm Street Strong Sub Such Sum Summer Sun Sunday Sunny Sure Sys São Tab Table Tabulation Tag Taken Tan Task
    Taylor Term Terry Test Text Than Thanks That The Their Them Then There These They This Those Three Thursday Time
    To Too Tool Top Trace Tree True Try Tuesday Turing Two Type Un Und Une Uni Unique Unknown Unnamed Unser Unsere Up
    Us Use User Val Valid Value Van Ver Versa Very Via View Violet Virginia Vista Von Wait Wale Walk Was Water Way We
    Web Wednesday Weeks Well Wenn Were West What When Where Which White Who Why Wild Will Win Winter Wir Wise With
    Wolf Wood Word Work Would Write X Yes Yet You Young Your Zero Zip
    """.split()  # noqa: SIM905
)

NO_SURNAMES = frozenset(
    """
    Academy Account Africa Airport Algorithm All Alliance Amazon America Analysis Apache Application Approximation Apr
    Architecture Array Ascii Asia Association Aug Australia Authority Authors Avenue Award Azure Bank Beach Brazil
    Building Bureau Bus Bytes Cache California Campus Canada Canal Canonical Carlo Cathedral Causality Center Centre
    Chart City Class Classifier Client Code Coefficient Colleague Colleagues College Column Committee Company Compiler
    Component Condition Conference Configuration Conjecture Consortium Constant Contributors Controller Convention
    Corp Corporation Council Count County Court Curve Customer Customers Dakota Database Debian Dec December
    Decomposition Denmark Department Developers Devs Diagram Dictionary Dimension Directory Disk Distance Distribution
    District Division Django Docker Document Documentation Dr Driver Ecosystem Editor Elimination Encoding Engine
    England Equality Equation Error Estimator Europe Event Everyone Example Exception Expansion Expression Factory Feb
    February File Filter Finland Flag Folks Forest Format Formula Foundation Framework Fri Friday Friends Function
    Functions Gateway Gem Generator Germany Google Governor Graph Greek Group Guide Handler Hash Heap Hiring Hospital
    Hotel House Icon Identifier Identity Index Inequality Institute Integral Interface Interpreter Ireland Island
    Islands Italy Iterator Jan January Japan Java Jul July Jun Junction Jupyter Kafka Kernel Keyword Kubernetes Labs
    Lake Language Latin Law Layer Lemma Letter Library Licence License Limited Linux List Loader Loop Ltd Machine
    Madam Manager Manual Map Mar Markdown Matrix Mechanism Memorial Message Metadata Method Methods Metric Mexico
    Microsoft Mission Mode Model Module Mon Monday Monitor Monte Monument Mountain Mountains Mr Mrs Ms Museum Name
    National Network Node Norm Norway Notation Notebook Notes Nov November Number Object Objects Oct October Office
    Operator Option Order Organization Output Package Palace Parameter Parameters Parser Partition Path Pattern
    Pipeline Plan Plugin Poland Polynomial Polynomials Pool Prize Problem Process Processor Product Program Project
    Property Protocol Python Query Queue Radius Range Rank Ratio Reader Readers Record Rectangle Redis Reference
    Regression Release Report Republic Request Research Resource Response Restaurant River Road Router Ruby Rule
    Russia Rust Sales Sampler Sampling Sat Saturday Scheduler Schema School Score Scotland Script Search Section Sep
    Sept September Sequence Series Server Service Services Session Set Shell Signal Sir Space Spain Specification
    Square Stack Standard State Statement States Station Statistic Street String Strings Structure Studio Studios
    Subset Suite Sum Sun Sunday Support Sweden Symbol Symmetry Syntax System Systems Table Tag Team Tech Technologies
    Technology Template Test Tests Texas Theorem Theory Thread Thu Thursday Ticket Time Tokenizer Tower Town Transform
    Transformation Tree Triangle Tue Tuesday Tunnel Tuple Type Types Ubuntu Unicode Unit University Unix User Valley
    Value Values Variable Vector Version View Village Vinci Warning Weather Web Wed Wednesday Weibo Window Windows
    Wizard Worker World Wrapper Writer Zone
    """.split()  # noqa: SIM905
)
